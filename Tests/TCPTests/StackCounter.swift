import SwiftStack

extension SimulatedStack {
  /// A counter by the name that `nstat` prints.
  func counter(_ name: String) -> Int {
    stack.counterReports.first { $0.name == name }.map { Int($0.value) } ?? -1
  }

  /// Connections in TIME-WAIT.
  var timeWaitCount: Int { stack.socketReports.filter { $0.state == "TIME-WAIT" }.count }
}
