/// Whose processes a stack takes control clients from. The socket's mode keeps others out first; a client that has passed it, as
/// one with CAP_DAC_OVERRIDE may, is still asked who it is (`SO_PEERCRED`).
package struct ControlCallers: Equatable, Sendable {
  package var users: Set<UInt32>

  /// - Parameter users: beside root.
  package init(users: Set<UInt32>) { self.users = users.union([0]) }

  /// What a client of somebody else's is told.
  ///
  /// - Parameter user: `nil` when the kernel does not say.
  package func refusal(of user: UInt32?) -> String {
    let others = users.subtracting([0]).sorted().map { " and user \($0)" }.joined()
    let caller = user.map { "not of user \($0)" } ?? "not of who cannot be told"
    return "permission denied: this stack takes commands of root\(others), \(caller)"
  }
}
