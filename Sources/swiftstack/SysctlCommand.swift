import ArgumentParser
import SwiftStack

struct SysctlCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sysctl", abstract: "Show or change the stack's settings, as \"sysctl\" does.",
    discussion: "A change holds for sockets made, packets received and timers started from then on.")
  @Flag(name: .shortAndLong, help: "Show all settings.") var all = false
  @Argument(help: ArgumentHelp("A setting, or a setting with its new value.", valueName: "name[=value]"))
  var settings: [String] = []
  @OptionGroup var options: ReportOptions

  func validate() throws {
    guard all != !settings.isEmpty else {
      throw ValidationError("either -a, or names of settings: one of them has to be given")
    }
  }

  func run() throws {
    var shown: [SettingReport] = []
    var client = try options.client.connect()
    for setting in all ? [nil] : settings.map(Optional.some) {
      var name = setting
      if let setting, let equals = setting.firstIndex(of: "=") {
        try client.make(["sysctl", setting])
        name = String(setting[..<equals])
      }
      let rows = try client.table(.sysctl(name)) { if case .sysctl(let rows) = $0 { rows } else { nil } }
      shown += rows
      // One that is refused later takes nothing back.
      if !options.json {
        for setting in rows { try StandardOutput.print("\(setting.name) = \(setting.value)") }
      }
    }
    if options.json {
      return try JSONOutput.print(
        Dictionary(shown.map { ($0.name, $0.value) }, uniquingKeysWith: { _, last in last }))
    }
  }
}
