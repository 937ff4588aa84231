import NetDevice
import Tables
import Testing

/// netem in iproute2's words.
@Suite struct NetworkEmulatorWordsTests {
  @Test(
    "Q3 netem: the words of iproute2 come back as tc prints them",
    arguments: [
      ("netem", "limit 1000"),
      ("netem delay 20ms 5ms loss 1%", "limit 1000 delay 20ms  5ms loss 1%"),
      ("netem limit 50 delay 1500us 250us 25% distribution normal", "limit 50 delay 1.5ms  250us 25%"),
      ("netem loss random 0.3 25%", "limit 1000 loss 0.3% 25%"),
      ("netem loss gemodel 1% 10% 70% 0.1%", "limit 1000 loss gemodel p 1% r 10% 1-h 70% 1-k 0.1%"),
      ("netem loss gemodel 3%", "limit 1000 loss gemodel p 3% r 97% 1-h 100% 1-k 0%"),
      (
        "netem delay 10ms reorder 25% 50% gap 5 duplicate 1% corrupt 0.1% rate 1mbit",
        "limit 1000 delay 10ms duplicate 1% reorder 25% 50% corrupt 0.1% rate 1Mbit gap 5"
      ),
    ])
  func words(_ words: String, _ printed: String) throws {
    #expect(try EmulatedLine.configuration(words).options == printed)
  }

  @Test(
    "Q3 netem: a bad word is named, with what is expected there",
    arguments: [
      (
        "delay 10q",
        "illegal value for \"delay\": \"10q\": expected a time with its unit, up to 3600s, such as 20ms"
      ),
      ("loss 101%", "illegal value for \"loss\": \"101%\": expected a percentage, 0% to 100%, such as 1%"),
      ("loss", "\"loss\" needs a value: expected a percentage, 0% to 100%, such as 1%"),
      ("limit 0", "illegal value for \"limit\": \"0\": expected packets, 1 to 1000000"),
      ("delay 1ms gap 5", "\"gap\" needs \"reorder\""),
      ("reorder 10%", "\"reorder\" needs a \"delay\" to overtake"),
      ("delay 1ms distribution normal", "\"distribution\" needs a \"delay\" with jitter"),
      (
        "delay 1ms 1ms distribution odd",
        "illegal value for \"distribution\": \"odd\": expected one of uniform, normal, pareto, paretonormal"
      ),
      ("delay 1ms slot 1ms 2ms", "\"slot\" is not supported"),
      ("loss 1% ecn", "\"ecn\" is not supported"), ("seed 5", "\"seed\" is not supported"),
      ("loss state 1%", "\"loss state\" is not supported: expected random or gemodel"),
      ("rate 1mbit 20 30 5", "\"rate\" takes no overhead and no cells here"),
      (
        "delay 20ms foo",
        "unknown parameter \"foo\": expected limit, delay, distribution, loss, duplicate, corrupt, reorder, gap or rate"
      ),
    ])
  func bad(_ words: String, _ sentence: String) throws {
    do {
      _ = try EmulatedLine.configuration("netem \(words)")
      Issue.record("\(words) was taken")
    } catch let error as WordError {
      #expect(error.description == "netem: \(sentence)")
    }
  }
}
