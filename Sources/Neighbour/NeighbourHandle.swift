/// Names a neighbour's slot, for a route to keep. A slot that was given to another neighbour since has another
/// generation, so a stale handle is noticed and looked up again.
@frozen
public struct NeighbourHandle: Hashable, Sendable {
  public var index: UInt32
  public var generation: UInt32
  @inlinable public init(index: UInt32, generation: UInt32) {
    self.index = index
    self.generation = generation
  }
  /// Names no neighbour.
  @inlinable public static var none: NeighbourHandle { NeighbourHandle(index: .max, generation: 0) }
}
