/// The colours of all charts, light, dark and on paper, and nothing else of a page. Contrast of text with the surface
/// is above 4.5 in each, of marks above 3.
package let chartStyle = """
  :root{--surface:#ffffff;--ink:#1b1f24;--quiet:#57606a;--rule:#d8dde3;--above:#1f6fd0;--below:#b8500a;--s1:#1f6fd0;\
  --s2:#b8500a;--s3:#117a65;--s4:#7d3fb2;--s5:#b02a55;--s6:#5c6600;color-scheme:light dark}
  @media (prefers-color-scheme:dark){:root{--surface:#14181d;--ink:#e6e9ed;--quiet:#9aa4b0;--rule:#343c46;\
  --above:#6cabf7;--below:#f2a05c;--s1:#6cabf7;--s2:#f2a05c;--s3:#4cc9ae;--s4:#c49bf0;--s5:#f2809f;--s6:#c0c94a}}
  @media print{:root{--surface:#ffffff;--ink:#000000;--quiet:#444444;--rule:#cccccc;--above:#1f6fd0;--below:#b8500a;\
  --s1:#1f6fd0;--s2:#b8500a;--s3:#117a65;--s4:#7d3fb2;--s5:#b02a55;--s6:#5c6600}\
  .chart{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
  .chart{display:block;max-width:100%;height:auto;font:12px system-ui,sans-serif;fill:var(--ink)}
  .chart .quiet{fill:var(--quiet)}.chart .strong{font-weight:600}.chart .small{font-size:11px}
  .chart .on{fill:var(--surface)}.chart .over{fill:var(--ink)}.chart .between{fill:#14181d}
  .chart .grid{stroke:var(--rule)}.chart .zero{stroke:var(--quiet)}
  .chart .reference{stroke:var(--quiet);stroke-width:1.5;stroke-dasharray:5 4}
  .chart .line{fill:none;stroke-width:2}.chart .line.again{stroke-dasharray:2 3}.chart .whisker{stroke-width:2}
  .chart .above{fill:var(--above)}.chart .below{fill:var(--below)}.chart .cell{stroke:var(--rule);stroke-width:1}
  .chart .name{paint-order:stroke;stroke:var(--surface);stroke-width:4px}
  .chart .right{stroke:var(--ink);stroke-width:1.5}
  .chart .s1{stroke:var(--s1)}.chart .s2{stroke:var(--s2)}.chart .s3{stroke:var(--s3)}.chart .s4{stroke:var(--s4)}
  .chart .s5{stroke:var(--s5)}.chart .s6{stroke:var(--s6)}
  .chart .dot.s1{fill:var(--s1)}.chart .dot.s2{fill:var(--s2)}.chart .dot.s3{fill:var(--s3)}
  .chart .dot.s4{fill:var(--s4)}.chart .dot.s5{fill:var(--s5)}.chart .dot.s6{fill:var(--s6)}

  """
