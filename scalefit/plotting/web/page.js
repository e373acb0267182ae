"use strict";
// Draws the pictures of a page from the numbers beside them, as wide as the screen is; colours are the page's own.
const Page = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const three = (v) => String(+v.toPrecision(3));
  function quantity(v) {
    if (!isFinite(v)) return String(v);
    if (v >= 1e15 || (v !== 0 && Math.abs(v) < 1e-2)) return flops(v);
    for (const [s, by] of [["T", 1e12], ["B", 1e9], ["M", 1e6], ["k", 1e3]]) if (Math.abs(v) >= by * 0.9995) return three(v / by) + s;
    return three(v);
  }
  function flops(v) {
    const [m, e] = v.toExponential(2).split("e");
    return `${+m}e${+e}`;
  }
  const WRITE = { flops, quantity, plain: (v) => (v !== 0 && Math.abs(v) < 1e-3 ? flops(v) : three(v)) };
  function node(name, attributes, parent) {
    const made = document.createElementNS(NS, name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    if (parent) parent.appendChild(made);
    return made;
  }
  function ticksOf(low, high, log, most) {
    if (log) {
      const found = [];
      for (const steps of [[1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
        found.length = 0;
        for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++)
          for (const s of steps) { const t = +(s * 10 ** p).toPrecision(3); if (t >= low * 0.999 && t <= high * 1.001) found.push(t); }
        if (found.length <= most) return found;
      }
      const every = Math.ceil(found.length / most);
      return found.filter((_, i) => i % every === 0);
    }
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((s) => s * power).find((s) => s >= rough);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9) + 1e-12; i++) found.push(+(i * step).toPrecision(6));
    return found;
  }
  function spans(spec) {
    const all = { x: [], y: [] };
    for (const m of spec.marks) {
      all.x.push(...(m.x || []));
      for (const part of ["y", "low", "high"]) if (Array.isArray(m[part])) all.y.push(...m[part]);
    }
    const found = {};
    for (const axis of ["x", "y"]) {
      const log = spec[axis].log, seen = all[axis].filter((v) => v !== null && isFinite(v) && (!log || v > 0));
      let low = Math.min(...seen), high = Math.max(...seen);
      if (spec[axis].range) [low, high] = spec[axis].range;
      if (!(high > low)) { low = log ? low / 2 : low - 0.5; high = log ? high * 2 : high + 0.5; }
      const pad = 0.03;
      found[axis] = log ? [low * (low / high) ** pad, high * (high / low) ** pad] : [low - pad * (high - low), high + pad * (high - low)];
    }
    return found;
  }
  function draw(box, spec) {
    const width = Math.max(box.clientWidth || 640, 260), height = Math.round(Math.min(400, Math.max(250, 0.58 * width)));
    const edge = { left: 46, right: 10, top: 24, bottom: 42 };
    const [x0, x1, y0, y1] = [edge.left, width - edge.right, height - edge.bottom, edge.top], span = spans(spec);
    const scale = (axis, from, to) => {
      const f = spec[axis].log ? Math.log : (v) => v, [low, high] = span[axis].map(f);
      return (v) => from + ((f(v) - low) / (high - low)) * (to - from);
    };
    const X = scale("x", x0, x1), Y = scale("y", y0, y1);
    const old = box.querySelector("svg.chart");
    if (old) old.remove();
    const svg = node("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": box.dataset.alt || "" });
    const grid = node("g", { stroke: "var(--grid)" }, svg), text = node("g", {}, svg);
    for (const t of ticksOf(...span.x, spec.x.log, Math.max(3, Math.floor((x1 - x0) / 62)))) {
      node("path", { d: `M${X(t)} ${y0}V${y1}` }, grid);
      node("text", { x: X(t), y: y0 + 16, "text-anchor": "middle" }, text).textContent = WRITE[spec.x.write || "quantity"](t);
    }
    for (const t of ticksOf(...span.y, spec.y.log, 6)) {
      node("path", { d: `M${x0} ${Y(t)}H${x1}` }, grid);
      node("text", { x: x0 - 6, y: Y(t) + 4, "text-anchor": "end" }, text).textContent = WRITE[spec.y.write || "plain"](t);
    }
    node("text", { x: (x0 + x1) / 2, y: height - 6, "text-anchor": "middle" }, text).textContent = spec.x.label;
    node("text", { x: 2, y: 14 }, text).textContent = spec.y.label;
    const clip = `clip-${Math.random().toString(36).slice(2)}`;
    node("rect", { x: x0, y: y1, width: x1 - x0, height: y0 - y1 }, node("clipPath", { id: clip }, svg));
    const inside = node("g", { "clip-path": `url(#${clip})` }, svg), points = [];
    for (const m of spec.marks) mark(m, inside, X, Y, [x0, x1, y0, y1], points);
    box.prepend(svg);
    hover(box, svg, points, spec, width, height);
  }
  function line(x, y, X, Y) {
    let path = "", up = false;
    x.forEach((v, i) => {
      const known = y[i] !== null && isFinite(y[i]);
      if (known) path += `${up ? "L" : "M"}${X(v).toFixed(1)} ${Y(y[i]).toFixed(1)}`;
      up = known;
    });
    return path;
  }
  function mark(m, into, X, Y, [x0, x1, y0, y1], points) {
    const colour = `var(--${m.colour || "link"})`;
    if (m.kind === "band") {
      const back = m.x.map((_, i) => m.x.length - 1 - i);
      const d = line(m.x, m.high, X, Y) + line(back.map((i) => m.x[i]), back.map((i) => m.low[i]), X, Y).replace("M", "L") + "Z";
      node("path", { d, style: `fill:${colour};fill-opacity:${m.dark}` }, into);
    } else if (m.kind === "line") {
      node("path", { d: line(m.x, m.y, X, Y), style: `fill:none;stroke:${colour};stroke-width:2`, ...(m.dash ? { "stroke-dasharray": "6 4" } : {}) }, into);
    } else if (m.kind === "dots") {
      m.x.forEach((v, i) => node("circle", { cx: X(v).toFixed(1), cy: Y(m.y[i]).toFixed(1), r: m.size || 2, style: `fill:${colour};fill-opacity:${m.dark || 0.8}` }, into));
    } else if (m.kind === "errors") {
      m.x.forEach((v, i) => node("path", { d: `M${X(v)} ${Y(m.low[i])}V${Y(m.high[i])}`, style: `stroke:${colour};stroke-width:${m.width || 2};fill:none` }, into));
    } else if (m.kind === "bars") {
      const wide = Math.max(3, 0.6 * Math.abs(X(m.x[1] ?? m.x[0] + 1) - X(m.x[0])));
      m.x.forEach((v, i) => node("path", { d: `M${X(v)} ${Y(0)}V${Y(m.y[i])}`, style: `stroke:${colour};stroke-width:${wide}` }, into));
    } else if (m.kind === "level") {
      node("path", { d: `M${x0} ${Y(m.at)}H${x1}`, style: `stroke:${colour};stroke-dasharray:2 4` }, into);
    } else if (m.kind === "upright") {
      node("path", { d: `M${X(m.at)} ${y0}V${y1}`, style: `stroke:${colour};stroke-dasharray:2 4` }, into);
    }
    if (m.y && m.kind !== "bars" && !m.quiet) m.x.forEach((v, i) => m.y[i] !== null && points.push([X(v), Y(m.y[i]), m, i]));
  }
  function hover(box, svg, points, spec, width, height) {
    svg.addEventListener("pointermove", (event) => {
      const frame = svg.getBoundingClientRect(), by = width / frame.width;
      const [x, y] = [(event.clientX - frame.left) * by, (event.clientY - frame.top) * by];
      let best = null, least = 40 ** 2;
      for (const one of points) { const d = (one[0] - x) ** 2 + (one[1] - y) ** 2; if (d < least) [least, best] = [d, one]; }
      tell(box, best && said(best[2], best[3], spec), best && best[0] / by, best && best[1] / by, frame.width);
    });
    svg.addEventListener("pointerleave", () => tell(box, null));
  }
  function said(m, i, spec) {
    const at = `${spec.x.label} ${WRITE[spec.x.write || "quantity"](m.x[i])}`;
    const value = `${spec.y.word || spec.y.label} ${(+m.y[i]).toFixed(3)}`;
    const band = m.low && m.high ? ` (95 % ${m.low[i].toFixed(3)} to ${m.high[i].toFixed(3)})` : "";
    return [m.label, at, value + band].filter(Boolean).join("; ");
  }
  function tell(box, words, x, y, width) {
    let tip = box.querySelector(".tip");
    if (!words) { if (tip) tip.remove(); return; }
    if (!tip) { tip = document.createElement("div"); tip.className = "tip"; box.appendChild(tip); }
    tip.textContent = words;
    tip.style.top = `${y + 14}px`;
    tip.style.left = `${Math.max(0, Math.min(x, width - tip.offsetWidth))}px`;
  }
  const charts = new Map();
  function show(box, spec) { charts.set(box, spec); if (box.offsetParent !== null) draw(box, spec); }
  function redraw() { for (const [box, spec] of charts) if (box.offsetParent !== null) draw(box, spec); }
  function start() {
    for (const box of document.querySelectorAll("[data-chart]")) show(box, JSON.parse(document.getElementById(box.dataset.chart).textContent));
    let width = innerWidth;
    addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
    document.querySelectorAll("details").forEach((one) => one.addEventListener("toggle", redraw));
    let closed = [];
    addEventListener("beforeprint", () => { closed = [...document.querySelectorAll("details:not([open])")]; closed.forEach((one) => { one.open = true; }); redraw(); });
    addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));
    document.body.dataset.drawn = "yes";
  }
  document.addEventListener("DOMContentLoaded", start);
  return { show, quantity, flops };
})();
