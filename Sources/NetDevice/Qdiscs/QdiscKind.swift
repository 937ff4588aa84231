/// Which queueing discipline a device has.
@frozen
public enum QdiscKind: String, Sendable, CaseIterable {
  case noqueue
  case pfifoFast = "pfifo_fast"
}
