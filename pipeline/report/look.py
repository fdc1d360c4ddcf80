"""
How a report looks and what little it does by itself: one style sheet, one script.

Both stand in the page and are allowed by their hash alone. No style stands on an
element, and no script in an attribute, so the policy of the page needs no exception.
The colours keep 4.5 : 1 against what they stand on, in light and in dark.
"""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --paper: #f7f6f2; --panel: #ffffff; --ink: #1c2026; --soft: #59606b;
  --rule: #dedbd3; --link: #1d5b86; --on-bar: #ffffff; --blank: #e7e4dc;
  --good: #23786a; --planned: #2b6a9b; --warning: #96610f; --bad: #ad3427;
  --waiting: #6a51a3; --carried: #556c82; --neutral: #6c7076;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
    "Liberation Sans", Arial, sans-serif;
  --serif: "Iowan Old Style", Charter, "Bitstream Charter", Georgia,
    "Liberation Serif", "Times New Roman", serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #13161a; --panel: #1a1e23; --ink: #e7e5df; --soft: #a4abb5;
    --rule: #30363e; --link: #8fc4ec; --on-bar: #101316; --blank: #2b3037;
    --good: #5cbfa9; --planned: #78b4e3; --warning: #dca74c; --bad: #ee8577;
    --waiting: #b39fe4; --carried: #9db2c6; --neutral: #a2a7ae;
  }
}
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 var(--sans); font-variant-numeric: tabular-nums;
  overflow-wrap: break-word;
}
.page { max-width: 64rem; margin: 0 auto; padding: 0 1.5rem; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; padding: .5rem 1rem; background: var(--panel); }
a { color: var(--link); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
p { margin: 0 0 .75rem; max-width: 46rem; }
header { padding: 3rem 0 2rem; }
.kicker {
  margin: 0 0 1.25rem; max-width: none; color: var(--soft); font-size: .875rem;
}
.kicker b { color: var(--ink); font-weight: 600; }
h1 {
  margin: 0 0 1rem; max-width: 44rem;
  font: 400 2.25rem/1.2 var(--serif); letter-spacing: -.01em; text-wrap: balance;
}
.lead { font-size: 1.0625rem; color: var(--soft); }
.status {
  display: inline-block; margin: 0 0 1rem; padding: .2rem .7rem; border-radius: 1rem;
  border: 1px solid; font-size: .8125rem; font-weight: 600;
}
.figures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr));
  gap: 1.25rem 2rem; margin: 2rem 0 0; padding: 1.25rem 0 0;
  border-top: 1px solid var(--rule);
}
.figures div { display: flex; flex-direction: column; }
.figures dt { order: 2; font-size: .8125rem; font-weight: 600; }
.figures dd { margin: 0; }
.figures .value { font: 400 1.875rem/1.25 var(--serif); }
.figures .note { order: 3; color: var(--soft); font-size: .8125rem; }
section {
  margin: 0 0 1.25rem; padding: 1.75rem 2rem; background: var(--panel);
  border: 1px solid var(--rule); border-radius: 6px;
}
h2 { margin: 0 0 1rem; font: 400 1.375rem/1.3 var(--serif); }
h3 { margin: 0 0 .25rem; font-size: .9375rem; font-weight: 600; }
section > * + .block { margin-top: 1.5rem; }
.equation { font-size: 1.0625rem; margin: .9rem 0 1rem; max-width: none; }
.bar {
  display: block; width: 100%; height: .75rem; background: var(--blank);
  border-radius: 2px;
}
.bar-tall { height: 2.75rem; border-radius: 4px; }
.bar rect { stroke: var(--panel); stroke-width: 1px; }
.bar text { fill: var(--on-bar); font: 600 .8125rem var(--sans); text-anchor: middle; }
.swatch { width: .75rem; height: .75rem; margin-right: .6rem; vertical-align: -.05em; }
.fill-good { fill: var(--good); } .fill-planned { fill: var(--planned); }
.fill-warning { fill: var(--warning); } .fill-bad { fill: var(--bad); }
.fill-waiting { fill: var(--waiting); } .fill-carried { fill: var(--carried); }
.fill-neutral { fill: var(--neutral); }
.ink-good { color: var(--good); } .ink-planned { color: var(--planned); }
.ink-warning { color: var(--warning); } .ink-bad { color: var(--bad); }
.ink-waiting { color: var(--waiting); } .ink-carried { color: var(--carried); }
.ink-neutral { color: var(--ink); }
.stroke-good { stroke: var(--good); } .stroke-planned { stroke: var(--planned); }
.stroke-warning { stroke: var(--warning); } .stroke-bad { stroke: var(--bad); }
.stroke-waiting { stroke: var(--waiting); } .stroke-carried { stroke: var(--carried); }
.stroke-neutral { stroke: var(--neutral); }
table {
  width: 100%; border-collapse: collapse; font-size: .9375rem; line-height: 1.45;
}
caption {
  margin: 0 0 .5rem; padding: 0; text-align: left; color: var(--soft);
  font-size: .875rem;
}
th, td { padding: .5rem 1rem .5rem 0; text-align: left; vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
thead th {
  border-bottom: 1px solid var(--ink); font-size: .8125rem; font-weight: 600;
  white-space: nowrap; vertical-align: bottom;
}
tbody th { font-weight: 500; white-space: nowrap; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
tfoot th, tfoot td { border-top: 1px solid var(--ink); font-weight: 600; }
.number { text-align: right; white-space: nowrap; }
.number + :not(.number) { padding-left: 1rem; }
.free { overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.wide { width: 34%; }
.wide .bar { margin-top: .35rem; }
code, .code { font-family: var(--mono); font-size: .875em; }
p code { white-space: nowrap; }
.command code { overflow-wrap: anywhere; }
.short { white-space: nowrap; }
.long { min-width: 9rem; }
.prose { min-width: 15rem; }
.command {
  margin: 0; padding: .75rem 1rem; border-left: 3px solid var(--link);
  background: var(--paper);
}
.command p { margin: 0 0 .25rem; font-size: .875rem; color: var(--soft); }
.command code { display: block; font-size: .875rem; }
.command + .command { margin-top: .5rem !important; }
.why { display: block; }
.next { display: block; color: var(--soft); }
figure { margin: 0; }
.charts {
  display: grid;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  gap: 2rem 2.5rem;
}
figcaption p { color: var(--soft); font-size: .875rem; margin: 0 0 .75rem; }
.plot-box { display: flex; }
.heights {
  display: flex; flex-direction: column; justify-content: space-between; width: 3.25rem;
  margin: -.6rem .6rem -.6rem 0; text-align: right; font-size: .75rem;
  color: var(--soft);
}
.plot { flex: 1; min-width: 0; height: 10rem; overflow: visible; }
.plot .rule {
  stroke: var(--rule); stroke-width: 1px; vector-effect: non-scaling-stroke;
}
.series {
  fill: none; stroke-width: 2px; stroke-linejoin: round;
  vector-effect: non-scaling-stroke;
}
.series-dashed { stroke-dasharray: 5 4; }
.series-dots { stroke-width: 6px; stroke-linecap: round; }
.times {
  display: flex; justify-content: space-between; margin: .6rem 0 0 3.85rem;
  font-size: .75rem; color: var(--soft);
}
.keys + table { margin-top: .75rem; }
.keys {
  display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0 0; padding: 0;
  list-style: none; font-size: .8125rem;
}
.key { width: 24px; height: 12px; margin-right: .4rem; vertical-align: -.1em; }
details { margin-top: .75rem; font-size: .875rem; }
summary { cursor: pointer; color: var(--link); padding: .25rem 0; }
details table { font-size: .8125rem; } details th, details td { padding-block: .2rem; }
.notices { margin: 0; padding: 0; list-style: none; }
.notices li { padding: .6rem 0; border-top: 1px solid var(--rule); }
.notices li:first-child { border-top: 0; padding-top: 0; }
.notices b { display: block; font-size: .875rem; }
.search {
  display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem;
  margin: 0 0 1rem;
}
.search label { font-size: .875rem; font-weight: 600; }
.search input {
  flex: 1 1 14rem; max-width: 24rem; min-width: 0; padding: .5rem .75rem; font: inherit;
  color: inherit; background: var(--paper); border: 1px solid var(--soft);
  border-radius: 4px;
}
.search output { color: var(--soft); font-size: .875rem; }
.facts {
  display: grid; grid-template-columns: minmax(8rem, 12rem) 1fr; margin: 0;
  font-size: .9375rem;
}
.facts dt, .facts dd {
  margin: 0; padding: .45rem 0; border-top: 1px solid var(--rule);
}
.facts dt { color: var(--soft); padding-right: 1rem; }
.facts dd { overflow-wrap: anywhere; }
.facts dt:first-of-type, .facts dd:first-of-type { border-top: 0; }
footer { padding: 1rem 0 3rem; color: var(--soft); font-size: .8125rem; }
footer p { max-width: none; }
@media screen and (max-width: 44rem) {
  .page { padding: 0 1rem; }
  header { padding: 1.75rem 0 1.5rem; }
  h1 { font-size: 1.625rem; }
  .figures { grid-template-columns: 1fr 1fr; gap: 1rem; }
  .figures .value { font-size: 1.5rem; }
  section {
    margin-inline: -1rem; padding: 1.25rem 1rem; border-inline: 0; border-radius: 0;
  }
  .stack, .stack tbody, .stack tfoot, .stack tr, .stack th, .stack td, .stack caption {
    display: block; width: auto;
  }
  .stack thead { position: absolute; left: -99rem; }
  .stack tr { padding: .75rem 0; }
  .stack tbody tr + tr { border-top: 1px solid var(--rule); }
  .stack tfoot tr { border-top: 1px solid var(--ink); }
  .stack th, .stack td, .stack .number + * {
    padding: .1rem 0; border: 0 !important; text-align: left; white-space: normal;
  }
  .stack td[data-label]::before {
    content: attr(data-label); display: inline-block; width: 7.5rem;
    padding-right: .5rem;
    color: var(--soft); font: .8125rem var(--sans);
  }
  .stack td.number { display: inline-block; margin-right: 1.25rem; }
  .stack td.number::before { width: auto; }
  .stack td.long { display: block; }
  .stack .bar { margin-bottom: .35rem; }
  .stack td.long::before { display: block; width: auto; }
  .stack td:empty { display: none; }
  .facts { grid-template-columns: 1fr; }
  .facts dd { border-top: 0; padding-top: 0; }
}
@media print {
  @page { margin: 16mm 14mm; }
  :root { --paper: #fff; }
  body { font-size: 10pt; }
  .page { max-width: none; padding: 0; }
  header { padding: 0 0 1rem; }
  h1 { font-size: 20pt; }
  section {
    padding: 0; border: 0; border-top: 1px solid var(--rule); padding-top: 1rem;
    border-radius: 0;
  }
  h2, h3, caption, thead, .equation { break-after: avoid; }
  tr, figure, .command, .notices li { break-inside: avoid; }
  .search, .skip, details { display: none !important; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  a { color: inherit; text-decoration: none; }
}
"""

SCRIPT: Final = r"""
(() => {
  "use strict";
  const plain = (text) =>
    text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().trim();
  for (const box of document.querySelectorAll("[data-searches]")) {
    const table = document.getElementById(box.dataset.searches);
    const input = box.querySelector("input");
    const told = box.querySelector("output");
    const rows = Array.from(table.tBodies[0].rows, (row) => [
      row,
      plain(row.textContent),
    ]);
    const search = () => {
      const words = plain(input.value).split(/\s+/);
      let shown = 0;
      for (const [row, text] of rows) {
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      told.textContent = `${shown} of ${rows.length} rows`;
    };
    input.addEventListener("input", search);
    box.hidden = false;
    search();
    for (const link of document.querySelectorAll("a[data-finds]")) {
      link.addEventListener("click", () => {
        input.value = link.dataset.finds;
        search();
      });
    }
  }
})();
"""
