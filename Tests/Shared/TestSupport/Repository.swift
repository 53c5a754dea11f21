/// The checkout that these tests were built from, without a slash at its end.
///
/// Tests that read what the repository ships (man pages, examples, another part's fixtures) start here, so that a moved
/// folder is a change of one line.
package let repository: String = {
  // This file is Tests/Shared/TestSupport/Repository.swift.
  "/" + #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
}()
