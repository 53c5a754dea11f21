import Records

package enum SearchMethodName: String, Choice {
  case cem, random
  case cmaES = "cma-es"
  case gradient
  case all
  package static let standard = cem
}
