// RPCProtocol
