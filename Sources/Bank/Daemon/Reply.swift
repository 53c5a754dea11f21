import Records
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport

/// The one answer to one request, from any thread; the compiler holds it to what the method's declaration says.
struct Reply<Value: Codable & Sendable>: Sendable {
  let request: RPCReply

  var connection: RPCConnection { request.connection }
  var isConnected: Bool { request.isConnected }

  func succeed(_ result: Value, descriptor: FileDescriptor? = nil) {
    succeed(RenderedResult(result), descriptor: descriptor)
  }

  /// The descriptor goes along and stays open here.
  func succeed(_ result: RenderedResult<Value>, descriptor: FileDescriptor? = nil) {
    request.succeed(raw: result.bytes, descriptor: descriptor)
  }

  func fail(_ error: RPCError) { request.fail(error) }

  func finish(_ answer: Result<Value, RPCError>) {
    switch answer {
    case .success(let result): succeed(result)
    case .failure(let error): fail(error)
    }
  }

  /// A piece of the answer, before the answer.
  func part(_ number: Int, _ members: JSONObject) { request.part(number, members) }
}
