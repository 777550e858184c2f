"""How pages look: one small sheet for all of them, light and dark, on screens and on paper."""

LIGHT = (
    "--ink:#1a1c20;--dim:#565c66;--paper:#fff;--card:#f5f6f8;--line:#d5d9e0;--link:#0b57d0;"
    "--bad:#a3221b;--bad-on:#fdecea;--good:#14612a;--good-on:#e6f4ea"
)
DARK = (
    "--ink:#e8eaed;--dim:#adb4be;--paper:#121417;--card:#1d2025;--line:#3a404a;--link:#8ab4f8;"
    "--bad:#f6b6b1;--bad-on:#3d1b19;--good:#9ddbac;--good-on:#15311d"
)
STYLE = (
    f":root{{color-scheme:light dark;{LIGHT}}}"
    f"@media(prefers-color-scheme:dark){{:root{{{DARK}}}}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;max-width:44rem;padding:0 1rem 2rem;background:var(--paper);"
    "color:var(--ink);font:1.0625rem/1.65 system-ui,'Apple SD Gothic Neo','Noto Sans KR',"
    "'Malgun Gothic',sans-serif;word-break:keep-all;overflow-wrap:break-word}"
    "a{color:var(--link);text-underline-offset:.2em}"
    "a:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:2px}"
    "h1{font-size:1.6rem;line-height:1.3;margin:1.25rem 0 .75rem}"
    "h2{font-size:1.2rem;line-height:1.35;margin:2rem 0 .5rem}"
    "h3{font-size:1.05rem;margin:0 0 .25rem}"
    "p{margin:.5rem 0}time,code{font-variant-numeric:tabular-nums}code{letter-spacing:.06em}"
    ".skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--paper);"
    "padding:.5rem}"
    "header{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.25rem 1rem;"
    "padding:.75rem 0;border-bottom:1px solid var(--line)}header a:first-child{font-weight:700;"
    "color:inherit;text-decoration:none}"
    ".banner{margin:0 -1rem;padding:.5rem 1rem;background:#5b2a86;color:#fff;font-weight:700}"
    ".state{padding:.75rem 1rem;border-radius:.5rem;font-weight:700;background:var(--good-on);"
    "color:var(--good)}.bad,.late{color:var(--bad)}.bad{background:var(--bad-on)}.late{font-weight:700}"
    ".card{border:1px solid var(--line);border-radius:.75rem;padding:1rem 1.1rem;margin:1rem 0}"
    ".card h2,.card h3{margin:0 0 .5rem;font-size:1.2rem}"
    "dl{margin:.5rem 0}dl div{display:grid;grid-template-columns:5.5rem 1fr;gap:.1rem .9rem;"
    "padding:.45rem 0;border-top:1px solid var(--line)}dl div:first-child{border-top:0}"
    "dt{color:var(--dim)}dd{margin:0}ul,ol{margin:.25rem 0;padding-left:1.25rem}"
    "dd ul{padding-left:1.1rem}"
    "figure{margin:1rem 0 0}blockquote{margin:0;padding:.8rem 1rem;border-radius:.5rem;"
    "background:var(--card);border-left:.3rem solid var(--link)}"
    "figcaption,.dim{color:var(--dim);font-size:.925rem;margin-top:.35rem}"
    "nav ul{padding:0;list-style:none;display:flex;flex-wrap:wrap;gap:.4rem}"
    "nav li a{display:inline-block;padding:.3rem .75rem;border:1px solid var(--line);"
    "border-radius:2rem;text-decoration:none}"
    "footer{margin-top:2.5rem;border-top:1px solid var(--line);padding-top:.75rem}"
    "footer li a{border:0;padding:.3rem .5rem .3rem 0}"
    "@media(max-width:20rem){dl div{grid-template-columns:1fr}dt{font-size:.925rem}}"
)
"""What every page has; no page has more than 14 KiB, so this stays small."""

BRIEFING_STYLE = (
    "body{max-width:64rem}ol{font-size:1.15rem;font-weight:600}ol li{padding:.15rem 0}"
    ".not li::marker{content:'✕  ';color:var(--bad)}.old{opacity:.45}"
    "@media(min-width:56rem),print{.pair{display:grid;grid-template-columns:3fr 2fr;gap:0 2.5rem}"
    ".pair h2:first-child{margin-top:.5rem}}"
    "@page{size:A4;margin:12mm}@media print{:root{" + LIGHT + "}body{max-width:none;padding:0;"
    "font-size:10pt;line-height:1.45}h1{font-size:15pt;margin:.25rem 0}h2{font-size:11.5pt;"
    "margin:.7rem 0 .2rem}ol{font-size:11pt}dl div{padding:.15rem 0}.banner{margin:0;color:#000;"
    "border:2px solid #000}}"
)
REPORT_STYLE = (
    "body{max-width:72rem}.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;"
    "margin:.5rem 0;font-size:.95rem;font-variant-numeric:tabular-nums}"
    "th,td{padding:.4rem .75rem .4rem 0;text-align:left;vertical-align:top;"
    "border-bottom:1px solid var(--line)}th{color:var(--dim);font-weight:600}"
    "td:first-child{white-space:nowrap}td:last-child{overflow-wrap:anywhere}"
    "@media print{:root{"
    + LIGHT
    + "}body{max-width:none;padding:0;font-size:9pt}tr{break-inside:avoid}}"
)
