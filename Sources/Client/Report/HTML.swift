import ResultText

/// A table of a page. Cells are text; a wide one scrolls by itself, so that the page never does.
struct HTMLTable {
  let headings: [(name: String, isNumber: Bool)]
  private var rows = ""

  init(_ headings: (String, ColumnAlignment)...) { self.init(headings) }

  init(_ headings: [(String, ColumnAlignment)]) {
    self.headings = headings.map { ($0.0, $0.1 == .right) }
  }

  mutating func add(_ cells: [String], isEmphasised: Bool = false) {
    let written = zip(headings, cells).map { heading, cell in
      heading.isNumber ? element("td", ["class": "number"], markup(cell)) : element("td", [:], markup(cell))
    }
    rows += isEmphasised ? element("tr", ["class": "served"], written.joined()) : element("tr", [:], written.joined())
  }

  var html: String {
    let head = headings.map { heading in
      heading.isNumber
        ? element("th", ["class": "number"], markup(heading.name)) : element("th", [:], markup(heading.name))
    }
    return element(
      "div", ["class": "scroll", "tabindex": "0"],
      element("table", [:], element("thead", [:], element("tr", [:], head.joined())) + element("tbody", [:], rows)))
  }
}

/// A chart with what it says; once for wide windows and paper, once for narrow ones.
func figure(_ chart: some Chart, _ caption: String) -> String {
  element(
    "figure", [:],
    element("div", ["class": "wide"], chart.svg(width: 720))
      + element("div", ["class": "narrow"], chart.svg(width: 340))
      + element("figcaption", [:], markup(caption)))
}

func paragraph(_ text: String, _ style: String = "") -> String { element("p", ["class": style], markup(text)) }

/// A moment of the daemon's, 2026-01-31T12:00:00.123Z, as people read it.
func readable(time: String) -> String {
  guard time.hasSuffix("Z"), time.count == 24 else { return time }
  return time.prefix(10) + " " + time.dropFirst(11).prefix(8) + " UTC"
}

func heading(_ text: String) -> String { element("h3", [:], markup(text)) }

/// A part of a report under its heading: what it shows in a sentence, and then that.
func section(_ title: String, _ what: String, _ content: String) -> String {
  element("section", [:], element("h2", [:], markup(title)) + paragraph(what, "what") + content)
}

/// One file without any other: style inside, no script, no reference.
func page(title: String, _ content: String) -> String {
  "<!DOCTYPE html>\n"
    + element(
      "html", ["lang": "en"],
      element(
        "head", [:],
        "<meta charset=\"utf-8\"/><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>"
          + element("title", [:], markup(title)) + element("style", [:], chartStyle + reportStyle))
        + "\n" + element("body", [:], element("main", [:], content))) + "\n"
}

private let reportStyle = """
  *{box-sizing:border-box}body{margin:0;background:var(--surface);color:var(--ink);\
  font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
  main{max-width:960px;margin:0 auto;padding:24px 20px 64px}
  h1{font-size:28px;line-height:1.2;margin:0 0 4px}h2{font-size:20px;margin:40px 0 4px;border-top:1px solid var(--rule);\
  padding-top:16px}h3{font-size:16px;margin:24px 0 8px}
  p,figcaption{max-width:760px}p{margin:8px 0}.what,figcaption,p.quiet{color:var(--quiet);font-size:14px}
  figure{margin:16px 0}figcaption{margin-top:4px}.narrow{display:none}
  .scroll{overflow-x:auto;margin:12px 0;background:linear-gradient(to right,var(--surface) 30%,transparent) left/36px 100% local,\
  linear-gradient(to left,var(--surface) 30%,transparent) right/36px 100% local,\
  linear-gradient(to right,var(--rule),transparent) left/14px 100%,linear-gradient(to left,var(--rule),transparent) right/14px 100%;\
  background-repeat:no-repeat}summary{cursor:pointer;color:var(--s1);margin:12px 0}
  table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;\
  overflow-wrap:normal;white-space:nowrap}
  th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--rule);vertical-align:top}
  th{font-weight:600;color:var(--quiet)}.number{text-align:right}
  .served td{font-weight:600}
  dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:16px 0;font-size:14px}
  dt{color:var(--quiet)}dd{margin:0}code{font:12px ui-monospace,monospace}
  .note{border-left:4px solid var(--s2);padding:4px 0 4px 12px;margin:12px 0}.missing{font-style:italic;color:var(--quiet)}
  .item{border:1px solid var(--rule);border-radius:6px;padding:8px 14px;margin:10px 0;font-size:14px}
  .item p{margin:4px 0}.item .question{white-space:pre-wrap;font-size:15px}.item td:last-child{width:100%;white-space:normal;overflow-wrap:anywhere}
  .good{color:var(--s3)}.bad{color:var(--s5)}
  ol.log{list-style:none;margin:16px 0 16px 6px;padding:0 0 0 16px;border-left:2px solid var(--rule);font-size:14px}
  ol.log li{margin:0 0 14px;position:relative}ol.log li::before{content:"";position:absolute;left:-22px;top:6px;width:10px;\
  height:10px;border-radius:5px;background:var(--quiet)}ol.log li.served::before{background:var(--s1)}
  ol.log time{color:var(--quiet)}
  a{color:var(--s1)}
  @media (max-width:640px){main{padding:16px 16px 48px}.wide{display:none}.narrow{display:block}h1{font-size:24px}}
  @media print{body{font-size:11pt}main{max-width:none;padding:0}.wide{display:block}.narrow{display:none}\
  figure,.item,.what,tr,ol.log li{break-inside:avoid}h2,h3,.what{break-after:avoid}.scroll{overflow:visible;background:none}\
  table{font-size:8pt}.scroll table{white-space:normal}.item table{font-size:9.5pt}th,td{padding-right:8px}}

  """
