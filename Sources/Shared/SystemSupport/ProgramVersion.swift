/// Of all programs, which come from one build. What a client may ask of a daemon of another version, the version of the
/// protocol says: `RPCMethod.protocolVersion`.
package let programVersion = "0.1.0"
