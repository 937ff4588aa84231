import NetNamespace
import SwiftStack
import TestSupport
import Testing

@testable import Sockets

/// What `getsockopt` answers when the caller's room is not the value's length: the kernel beside the stack, every option, every
/// kind of socket.
@Suite("S room for an option's value")
struct OptionRoomTests {
  /// Lengths about those of a byte, an `int`, a `long`, a `struct timeval` and a name.
  static let rooms = [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17]

  @Test(
    "S a value is cut, narrowed or refused for want of room as Linux does",
    arguments: OptionOracleTests.Kind.allCases)
  func rooms(_ kind: OptionOracleTests.Kind) throws {
    for option in OptionList.all where OptionOracleTests.isCompared(option.name) {
      // As long as the machine's default congestion control has to tell.
      if option.name == "TCP_CC_INFO" { continue }
      let pair = try OptionPair(kind)
      let comparesValues = OptionOracleTests.readsOtherwise[kind]?[option.name] == nil
      func compare(_ moment: String) {
        for room in Self.rooms {
          let ours = pair.stackGet(option, maximum: room), theirs = pair.kernelGet(option, maximum: room)
          if comparesValues {
            #expect(ours == theirs, "\(option.name) read into \(room) bytes \(moment)")
          } else {
            #expect(
              ours.split(separator: ",").count == theirs.split(separator: ",").count,
              "\(option.name) read into \(room) bytes \(moment): \(ours) for \(theirs)")
          }
        }
      }
      compare("at first")
      for value in option.values where pair.kernelSet(option, value) == 0 {
        #expect(pair.stackSet(option, value) == 0)
        compare("after \(value)")
      }
    }
  }
}
