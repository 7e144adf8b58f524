"""The page's style sheet: dark on light, at phone width, on paper."""

CSS = """
:root { color-scheme: light; --ink: #1f2933; --faint: #52606d; --rule: #d5dbe1;
  --wash: #f5f7f9; --better: #0b6e4f; --worse: #b3400a; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 78rem; padding: 1.5rem 1.25rem 4rem; background: #fff;
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
  "Noto Sans CJK KR", "Malgun Gothic", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: .5rem;
  border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p { margin: .4rem 0; max-width: 46rem; }
p.lead, li { max-width: 46rem; }
.faint, caption { color: var(--faint); }
.small { font-size: .85rem; }
ul { margin: .4rem 0; padding-left: 1.2rem; }
.verdict { background: var(--wash); border-left: 4px solid var(--ink); padding: .7rem 1rem;
  margin: 1rem 0; }
.verdict p { max-width: 58rem; }
.verdict .headline { font-size: 1.1rem; font-weight: 600; }
.verdict p + .headline { margin-top: 1rem; }
.caveat { border-left: 4px solid var(--worse); padding: .3rem 1rem; margin: .6rem 0; }
/* shadows at the edges beyond which a table goes on; those of the ends scroll away with it */
.scroll { overflow-x: auto; margin: .6rem 0; background:
  linear-gradient(to right, #fff 30%, #fff0) left / 2.5rem 100% no-repeat local,
  linear-gradient(to left, #fff 30%, #fff0) right / 2.5rem 100% no-repeat local,
  linear-gradient(to left, #1f29334d, #1f293300) right / .9rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: .85rem; padding-bottom: .3rem; }
th, td { padding: .3rem .65rem; text-align: right; vertical-align: baseline;
  border-bottom: 1px solid var(--rule); overflow-wrap: normal; }
th { font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; position: sticky; left: 0;
  background: #fff; min-width: 8rem; max-width: 17rem; }
td.text, th.text { text-align: left; }
td.note { text-align: left; min-width: 14rem; font-size: .8rem; color: var(--faint); }
th.model { min-width: 6.2rem; max-width: 9rem; overflow-wrap: anywhere; }
thead th { border-bottom: 1.5px solid var(--ink); }
tr.section th { text-align: left; padding-top: .9rem; border-bottom-color: var(--ink); }
td .range { display: block; font-size: .75rem; color: var(--faint); white-space: nowrap; }
td.mark { font-size: .8rem; color: var(--faint); min-width: 6rem; }
caption div { position: sticky; left: 0; display: inline-block; max-width: calc(100vw - 2.5rem); }
td.difference { text-align: left; white-space: nowrap; }
td.difference svg { vertical-align: middle; margin-right: .5rem; }
table.tight td.difference svg { display: none; }
table.tight td.difference, table.tight td .range { white-space: normal; }
table.tight th, table.tight td { padding: .3rem .4rem; }
table.tight th:first-child, table.tight td:first-child { padding-left: 0; min-width: 6rem; }
table.tight td.difference { min-width: 7.4rem; }
table.tight td.note { min-width: 8rem; }
table.tight th.model { min-width: 5rem; max-width: 6.5rem; font-size: .8rem; }
.better { color: var(--better); font-weight: 600; }
.worse { color: var(--worse); font-weight: 600; }
.letter { display: inline-block; min-width: 1.35em; padding: 0 .25em; border-radius: .25em;
  color: #fff; font-weight: 700; font-size: .85em; text-align: center; }
figure { margin: 1.2rem 0; overflow-x: auto; }
.hint { display: none; color: var(--faint); margin: 1.2rem 0 -.9rem; }
figure img { display: block; width: 100%; min-width: 38rem; height: auto; }
pre { background: var(--wash); border: 1px solid var(--rule); padding: .6rem .8rem;
  margin: .8rem 0 0; overflow-x: auto; overflow-wrap: normal;
  font: .85rem/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.verdict pre { background: #fff; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .15rem 1rem;
  font-size: .9rem; margin: .5rem 0; }
dt { color: var(--faint); } dd { margin: 0; }
.query { margin: 1.2rem 0 2rem; }
.query > p { font-weight: 600; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1.25rem; }
.sides ol { list-style: none; margin: .3rem 0; padding: 0; font-size: .85rem; }
.sides li { padding: .3rem .5rem .3rem 2.1rem; border-bottom: 1px solid var(--rule);
  position: relative; }
.sides li .rank { position: absolute; left: .5rem; color: var(--faint); }
.sides li.relevant { background: #e6f2ec; border-left: 4px solid var(--better);
  padding-left: 1.85rem; }
.sides li.relevant .rank { left: .25rem; color: var(--better); font-weight: 700; }
.tick { color: var(--better); font-weight: 700; white-space: nowrap; }
@media (max-width: 41rem) { .hint { display: block; }
  figure { border: 1px solid var(--rule); } }
@media (max-width: 40rem) { body { padding: 1rem .8rem 3rem; font-size: 15px; }
  th:first-child, td:first-child { min-width: 7.5rem; max-width: 9rem; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; }
  h2, h3 { break-after: avoid; } tr, figure, .query li { break-inside: avoid; }
  .scroll, figure { overflow: visible; background: none; } figure img { min-width: 0; }
  th:first-child, td:first-child { position: static; } table { font-size: 8pt; }
  .verdict, .letter, .sides li.relevant { print-color-adjust: exact; } }
"""
