/// RFC 867's suggestion: `Tuesday, February 22, 1982 17:37:43-UTC`, ended by CR LF.
struct DaytimeText {
  let text: String

  private static let weekdays = [
    "Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday",
  ]
  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
  ]

  init(nanosecondsSinceEpoch: UInt64) {
    let seconds = Int(nanosecondsSinceEpoch / 1_000_000_000)
    let (days, time) = (seconds / 86400, seconds % 86400)
    let date = Self.date(days)
    let clock = [time / 3600, time / 60 % 60, time % 60].map { $0 < 10 ? "0\($0)" : "\($0)" }
    text =
      "\(Self.weekdays[days % 7]), \(Self.months[date.month - 1]) \(date.day), \(date.year) "
      + "\(clock.joined(separator: ":"))-UTC\r\n"
  }

  /// The Gregorian date so many days after 1970-01-01, counted in eras of 400 years that begin in March.
  private static func date(_ days: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }
}
