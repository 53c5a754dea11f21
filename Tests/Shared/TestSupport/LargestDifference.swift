/// Infinite where one of the two is no number.
package func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
  // A comparison with NaN is false, so that max would lose it.
  zip(a, b).reduce(0) { abs($1.0 - $1.1) <= $0 ? $0 : ($1.0 - $1.1).isNaN ? .infinity : abs($1.0 - $1.1) }
}
