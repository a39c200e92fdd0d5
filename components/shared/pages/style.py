"""Style of all pages: one column in Kubeflow's frame of 500 pixels, two on wide screens, and rules for printing."""

ACCENT = "#1d5a9c"
ALERT = "#b9500b"
"""Blue and orange, distinguishable with any color vision."""

PAGE_STYLE = f"""
:root{{--ink:#1c2733;--soft:#56636f;--line:#dfe5ea;--wash:#f4f6f8;--accent:{ACCENT};--alert:{ALERT};color-scheme:light}}
*{{box-sizing:border-box}}
html{{-webkit-text-size-adjust:100%}}
body{{margin:0;background:#fff;color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif}}
main{{max-width:70rem;margin:0 auto;padding:1.25rem 1rem 2.5rem}}
h1{{font-size:1.7rem;line-height:1.2;margin:.15rem 0 .35rem;font-weight:650;letter-spacing:-.01em;
overflow-wrap:anywhere}}
h2{{font-size:1.1rem;line-height:1.3;margin:0 0 .25rem;font-weight:650}}
p{{margin:.35rem 0;max-width:46rem;overflow-wrap:break-word}}
.over{{margin:0;color:var(--soft);font-size:.8rem;letter-spacing:.02em}}
.soft{{color:var(--soft)}}
.note{{color:var(--soft);font-size:.85rem}}
.lede{{font-size:1.1rem;line-height:1.45;margin:.9rem 0 0}}
.remark{{border-left:3px solid var(--alert);background:var(--wash);padding:.55rem .8rem;margin:.9rem 0 0}}
.hidden{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}}
section{{margin-top:1.9rem;padding-top:1.1rem;border-top:1px solid var(--line);min-width:0}}
.scroll{{overflow-x:auto;max-width:100%}}
.scroll:focus-visible{{outline:2px solid var(--accent);outline-offset:3px}}
.figures{{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:1rem 1.2rem;margin:1.2rem 0 0}}
.figures div{{border-top:2px solid var(--ink);padding-top:.35rem}}
.figures div:first-child{{border-color:var(--accent)}}
.figures dt{{font-size:.8rem;color:var(--soft);line-height:1.3}}
.figures dd{{margin:0;font-variant-numeric:tabular-nums}}
.figures .value{{font-size:1.45rem;line-height:1.25;font-weight:600;white-space:nowrap}}
.figures .aside{{font-size:.75rem;color:var(--soft);line-height:1.3}}
table{{border-collapse:collapse;width:100%;margin:.6rem 0 0;font-size:.85rem;line-height:1.35}}
th,td{{text-align:left;padding:.28rem .35rem .28rem 0;border-bottom:1px solid var(--line);vertical-align:top}}
th:last-child,td:last-child{{padding-right:0}}
thead th{{font-weight:500;color:var(--soft);vertical-align:bottom;line-height:1.2}}
tbody th{{font-weight:500}}
.number{{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}}
.name{{unicode-bidi:isolate}}
code{{font:.8rem/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;overflow-wrap:anywhere;
unicode-bidi:isolate}}
.measured,.measured .value{{display:block}}
.bar{{display:block;position:relative;height:.25rem;margin:.05rem 0 .15rem;background:#e6ebf0;min-width:2.6rem}}
.bar span{{display:block;height:100%;background:var(--accent)}}
.bar .wrong{{background:var(--alert)}}
.bar .tick{{position:absolute;top:-.18rem;width:2px;height:.66rem;margin-left:-1px;background:var(--ink)}}
summary{{cursor:pointer;color:var(--soft)}}
summary:focus-visible{{outline:2px solid var(--accent);outline-offset:3px}}
.facts{{display:grid;grid-template-columns:minmax(5.5rem,auto) 1fr;gap:.3rem 1rem;margin:.6rem 0 0;font-size:.85rem}}
.facts dt{{color:var(--soft)}}
.facts dd{{margin:0;min-width:0;overflow-wrap:anywhere}}
footer{{margin-top:2rem;padding-top:.8rem;border-top:1px solid var(--line);color:var(--soft);font-size:.8rem}}
.curves{{margin-top:.8rem}}
.curves svg+svg{{margin-top:1.2rem}}
svg{{max-width:100%;height:auto;display:block}}
@media (min-width:56rem){{
th,td{{padding-right:.6rem}}
main{{padding:2.4rem 2.5rem 3.5rem}}
h1{{font-size:2.3rem}}
.lede{{font-size:1.25rem;max-width:52rem}}
.figures{{grid-template-columns:repeat(4,minmax(0,1fr));gap:2rem}}
.figures .value{{font-size:1.9rem}}
.pair{{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:0 3.5rem}}
.pair.lopsided{{grid-template-columns:minmax(0,3fr) minmax(0,2fr)}}
.pair.fitted{{grid-template-columns:fit-content(70%) minmax(20rem,1fr)}}
.curves svg+svg{{margin-top:0}}
.measured{{display:flex;align-items:center;justify-content:flex-end;gap:.6rem}}
.measured .bar{{order:-1;flex:1;margin:0;max-width:11rem}}
.measured .value{{min-width:3.9rem}}
td:has(.measured){{padding-left:1.2rem}}
.fitted .measured{{display:block}}
.fitted .bar{{margin:.05rem 0 .15rem}}
}}
@media print{{
*{{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
body{{font-size:10pt}}
main{{max-width:none;padding:0}}
section{{break-inside:avoid;margin-top:1.2rem}}
.long{{break-inside:auto}}
tr,.figures div{{break-inside:avoid}}
h2,h2+.note,.legend{{break-after:avoid}}
.scroll{{overflow:visible}}
}}
"""
"""Common content of the `style` element of all pages."""
