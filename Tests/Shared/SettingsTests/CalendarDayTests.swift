import Settings
import Testing

@Suite struct CalendarDayTests {
  @Test(arguments: [
    "2024-7-26", "2024-02-30", "2023-02-29", "1900-02-29", "2024-13-01", "2024-00-01", "2024-01-00", "0000-01-01", "",
    "today",
    "2024-07-26 ", "20240726", "2024-07-2\u{0663}", "+024-07-26", "2024-07-26-01",
  ])
  func whatIsNoDayIsNone(text: String) { #expect(CalendarDay(text) == nil) }

  @Test func aDayIsWrittenAsItIsRead() {
    for text in ["2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"] { #expect(CalendarDay(text)?.text == text) }
  }

  /// By Python's `strftime`.
  @Test func aDayIsFormattedAsByC() throws {
    for (text, expected) in [
      ("2024-07-26", "26 Jul 2024|July 26, 2024|Friday Fri|24-07-26|208|07/26/24|00:00:00 12 AM|%"),
      ("2000-01-01", "01 Jan 2000|January 1, 2000|Saturday Sat|00-01-01|001|01/01/00|00:00:00 12 AM|%"),
      ("2023-12-31", "31 Dec 2023|December 31, 2023|Sunday Sun|23-12-31|365|12/31/23|00:00:00 12 AM|%"),
      ("2025-03-03", "03 Mar 2025|March 3, 2025|Monday Mon|25-03-03|062|03/03/25|00:00:00 12 AM|%"),
    ] {
      let day = try #require(CalendarDay(text))
      #expect(day.formatted("%d %b %Y|%B %-d, %Y|%A %a|%y-%m-%d|%j|%D|%H:%M:%S %I %p|%%") == expected)
      #expect(day.formatted("%F") == text && day.formatted("%Q") == nil && day.formatted("%") == nil)
    }
  }
}
