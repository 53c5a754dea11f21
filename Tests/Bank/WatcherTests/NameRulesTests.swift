import Testing
import Watcher

struct NameRulesTests {
  @Test(arguments: ["a.safetensors", "Science-2.v1_final.safetensors", "0.safetensors"])
  func plainNamesAreAccepted(name: String) {
    #expect(NameRules.experts.verdict(Array(name.utf8), isDirectory: false) == .accepted(name))
  }

  @Test(arguments: [
    (".a.safetensors.Xy12", "hidden"), (".nfs0001", "hidden"), ("a.safetensors~", "temporary"),
    ("a.safetensors.part", "temporary"), ("a.safetensors.tmp", "temporary"), ("a.crdownload", "temporary"),
    (".a.safetensors.swp", "hidden"), ("4913", "ending"), ("sedAbC123", "ending"), ("#a#", "ending"),
    ("README", "ending"), (".safetensors", "hidden"), ("", "empty"),
  ])
  func temporaryAndOtherNamesAreIgnored(name: String, rule: String) {
    #expect(NameRules.experts.verdict(Array(name.utf8), isDirectory: false) == .ignored(rule: rule))
  }

  @Test(arguments: NameRules.downloadEndings)
  func theSignOfADownloadIsNoDroppedFile(ending: String) {
    for rules in [NameRules.experts, .tasks] {
      let verdict = rules.verdict(Array(("a.safetensors" + ending).utf8), isDirectory: false)
      #expect(verdict == .ignored(rule: "temporary"))
    }
  }

  @Test(arguments: ["-rf.safetensors", "a b.safetensors", "a\n.safetensors", "\u{1B}[2J.safetensors", "ä.safetensors"])
  func namesThatCouldDoHarmAreRejected(name: String) {
    let verdict = NameRules.experts.verdict(Array(name.utf8), isDirectory: false)
    #expect(verdict == .rejected(reason: "bad_name: only letters, digits, '.', '_' and '-' are allowed"))
  }

  @Test func brokenUTF8AndLongNamesAreRejected() {
    let broken = [0xFF, 0x61] + Array(".safetensors".utf8)
    guard case .rejected = NameRules.experts.verdict(broken, isDirectory: false) else {
      Issue.record("accepted")
      return
    }
    let long = Array((String(repeating: "a", count: 128) + ".safetensors").utf8)
    #expect(NameRules.experts.verdict(long, isDirectory: false) == .rejected(reason: "bad_name: longer than 139 bytes"))
    #expect(
      NameRules.experts.verdict(Array(long.dropFirst()), isDirectory: false)
        == .accepted(String(repeating: "a", count: 127) + ".safetensors"))
  }

  @Test func aPickleIsRefusedWithWhatToDo() {
    #expect(
      NameRules.experts.verdict(Array("gsm8k.pt".utf8), isDirectory: false)
        == .rejected(reason: "pickle_not_supported: import it with t2ctl expert import"))
  }

  @Test func onlyTasksAreDirectories() {
    #expect(NameRules.tasks.verdict(Array("arc".utf8), isDirectory: true) == .accepted("arc"))
    #expect(NameRules.tasks.verdict(Array("arc.jsonl".utf8), isDirectory: false) == .accepted("arc.jsonl"))
    #expect(NameRules.tasks.verdict(Array("arc".utf8), isDirectory: false) == .ignored(rule: "ending"))
    #expect(NameRules.experts.verdict(Array("a.safetensors".utf8), isDirectory: true) == .ignored(rule: "directory"))
  }
}
