import Testing

@testable import Registry

@Suite struct TimestampTests {
  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
      (1_738_310_400_250, "2025-01-31T08:00:00.250Z"), (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
      (-1, "1969-12-31T23:59:59.999Z"),
    ] as [(Int64, String)]) func dateOfMilliseconds(_ milliseconds: Int64, _ text: String)
  {
    #expect(Timestamp(milliseconds: milliseconds).description == text)
  }
}
