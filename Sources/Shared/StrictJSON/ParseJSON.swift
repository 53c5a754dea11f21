/// Reads exactly one JSON value; nothing but white space may surround it.
package func parseJSON(
  _ bytes: UnsafeRawBufferPointer, limits: JSONLimits = .init(), dialect: JSONDialect = .strict
) throws(JSONError) -> JSONValue {
  var parser = unsafe JSONParser(bytes, limits: limits, dialect: dialect)
  return try parser.document()
}

package func parseJSON(
  _ bytes: Span<UInt8>, limits: JSONLimits = .init(), dialect: JSONDialect = .strict
) throws(JSONError) -> JSONValue {
  try unsafe bytes.withUnsafeBufferPointer { buffer throws(JSONError) in
    try unsafe parseJSON(UnsafeRawBufferPointer(buffer), limits: limits, dialect: dialect)
  }
}

package func parseJSON(
  _ bytes: [UInt8], limits: JSONLimits = .init(), dialect: JSONDialect = .strict
) throws(JSONError) -> JSONValue {
  try parseJSON(bytes.span, limits: limits, dialect: dialect)
}

package func parseJSON(
  _ bytes: ArraySlice<UInt8>, limits: JSONLimits = .init(), dialect: JSONDialect = .strict
) throws(JSONError) -> JSONValue {
  try parseJSON(bytes.span, limits: limits, dialect: dialect)
}

package func parseJSON(
  _ text: String, limits: JSONLimits = .init(), dialect: JSONDialect = .strict
) throws(JSONError) -> JSONValue {
  try parseJSON(Array(text.utf8), limits: limits, dialect: dialect)
}
