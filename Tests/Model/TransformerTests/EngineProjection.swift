import Transformer

/// The engine's own: the model formats have one of that name too.
typealias Projection = Transformer.Projection
