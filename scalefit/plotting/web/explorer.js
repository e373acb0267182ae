"use strict";
// What a budget buys, by the draws that `scalefit plan` makes: the same numbers, with the arithmetic of `Spent` and `Options`.
const Explorer = (() => {
  const doubles = (text) => new Float64Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  function percentile(sorted, q) {
    const at = (q / 100) * (sorted.length - 1), low = Math.floor(at), part = at - low;
    return low + 1 < sorted.length ? sorted[low] + part * (sorted[low + 1] - sorted[low]) : sorted[low];
  }
  // Draws of log10 L at a compute for each size, one array a size: wider outside what was measured.
  function logLoss(one, flops, k, E) {
    const S = one.sizes.length, B = k.length / S, log10 = Math.log10(flops), columns = [];
    for (let s = 0; s < S; s++) {
      const column = new Float64Array(B), wide = 1 + Math.log10(outside(one, flops, s));
      for (let b = 0; b < B; b++) column[b] = E[b * S + s] - k[b * S + s] * log10;
      const centre = percentile(column.slice().sort(), 50);
      for (let b = 0; b < B; b++) column[b] = Math.min(centre + (column[b] - centre) * wide, 0);
      columns.push(column);
    }
    return columns;
  }
  const outside = (one, flops, s) => Math.max(flops / one.measured[s][1], one.measured[s][0] / flops, 1);
  function chance(columns) {
    const count = columns.map(() => 0), B = columns[0].length;
    for (let b = 0; b < B; b++) {
      let best = 0;
      for (let s = 1; s < columns.length; s++) if (columns[s][b] < columns[best][b]) best = s;
      count[best]++;
    }
    return count.map((n) => n / B);
  }
  // The rows of a plan; null where the budget lies beyond every size's reach.
  function spend(one, flops, refused) {
    const far = one.sizes.map((_, s) => outside(one, flops, s));
    if (Math.min(...far) > refused) return null;
    const mean = logLoss(one, flops, one.k, one.E), run = logLoss(one, flops, one.run_k, one.run_E);
    const best = chance(mean), bestRun = chance(run), seen = one.known.flatMap((known, s) => (known ? [s] : []));
    const among = chance(seen.map((s) => mean[s]));
    return one.sizes.map((params, s) => {
      const row = { params, measured: one.known[s], outside: far[s], probability_best: best[s], probability_best_run: bestRun[s],
        among_measured: one.known[s] ? among[seen.indexOf(s)] : null };
      if (far[s] > refused) return { ...row, loss: null };
      const [a, b] = [mean[s].sort(), run[s].sort()], ends = (column, q) => 10 ** percentile(column, q);
      return { ...row, loss: ends(a, 50), low: ends(a, 2.5), high: ends(a, 97.5), run_low: ends(b, 2.5), run_high: ends(b, 97.5),
        samples: flops / one.flops_a_sample[s] };
    });
  }
  const hours = (flops, data, gpu, mfu) => (flops * data.passes) / (data.gpus[gpu] * mfu) / 3600;
  const three = (v) => v.toFixed(3), solved = (v) => Math.round(100 * (1 - v));
  function cells(row, names) {
    const made = document.createElement("tr");
    names.forEach(([words, value, key], i) => {
      const cell = document.createElement(i ? "td" : "th");
      if (!i) cell.scope = "row";
      cell.textContent = words;
      if (key) { cell.dataset.key = key; cell.dataset.value = value; }
      made.appendChild(cell);
    });
    return made;
  }
  function plan(box, data) {
    const find = (name) => box.querySelector(`[name=${name}]`);
    for (const one of data.series) for (const name of ["k", "E", "run_k", "run_E"]) one[name] = doubles(one[name]);
    let flops = data.series[0].start;
    const factor = () => { const unit = find("unit").value; return unit === "flops" ? 1 : hours(1, data, find("gpu").value, +find("mfu").value) * (unit === "price" ? +find("price").value : 1); };
    const series = () => data.series[+find("series").value];
    const limits = () => { const m = series().measured.flat(); return [Math.log10(Math.min(...m) / (1.4 * data.refused)), Math.log10(Math.max(...m) * 1.4 * data.refused)]; };
    function setSlider() {
      const [low, high] = limits();
      Object.assign(find("budget"), { min: 0, max: 1000, step: 1, value: Math.round((1000 * (Math.log10(flops) - low)) / (high - low)) });
    }
    function setText() { find("amount").value = find("unit").value === "flops" ? Page.flops(flops) : String(+(flops * factor()).toPrecision(4)); }
    function tell() {
      const one = series(), rows = spend(one, flops, data.refused), size = Math.min(+find("size").value, one.sizes.length - 1);
      const said = box.querySelector("output"), body = box.querySelector("tbody");
      find("size").max = one.sizes.length - 1;
      body.replaceChildren();
      const spent = hours(flops, data, find("gpu").value, +find("mfu").value), price = spent * +find("price").value;
      const cost = `${Page.flops(flops)} FLOPs, ${Page.quantity(spent)} ${find("gpu").value.toUpperCase()}-hours, ${Page.quantity(price)} in your currency`;
      box.dataset.refused = rows === null ? "yes" : "no";
      box.dataset.flops = flops; box.dataset.hours = spent; box.dataset.price = price;
      find("budget").setAttribute("aria-valuetext", cost);
      find("size").setAttribute("aria-valuetext", Page.quantity(one.sizes[size]));
      if (rows === null) {
        said.textContent = `${cost}: more than ${data.refused} times outside what was measured for any size. Nothing supports an answer there.`;
        box.querySelectorAll(".chart").forEach((chart) => chart.remove());
        return;
      }
      const chosen = rows[size], order = rows.filter((row) => row.loss !== null && row.among_measured > 0.025).sort((a, b) => b.among_measured - a.among_measured);
      const likely = order.map((row) => `${Page.quantity(row.params)} ${row.among_measured.toFixed(2)}`).join(", ");
      const which = order[0] && order[0].among_measured >= data.sure ? `${Page.quantity(order[0].params)} is best` : "these runs do not say which is best";
      const end = chosen.loss === null ? `${Page.quantity(chosen.params)} is out of reach there` :
        `${Page.quantity(chosen.params)}${chosen.measured ? "" : " (not measured)"} ends at loss ${three(chosen.loss)} [${three(chosen.low)}, ${three(chosen.high)}], ${solved(chosen.loss)} of 100 solved; a new run at ${three(chosen.run_low)} to ${three(chosen.run_high)}${chosen.outside > 1.02 ? `; ${Page.quantity(chosen.outside)} times outside what was measured for it` : ""}`;
      said.textContent = `${cost}: ${end}. Of the sizes measured ${which} (chances ${likely}).`;
      for (const [s, row] of rows.entries()) {
        const name = Page.quantity(row.params) + (row.measured ? "" : " (not measured)");
        const made = row.loss === null ? cells(row, [[name], ["out of reach"], [""], [""], [""], [""], [""]]) : cells(row, [[name, row.params, "params"],
          [three(row.loss), row.loss, "loss"], [String(solved(row.loss))], [`${three(row.low)} to ${three(row.high)}`], [`${three(row.run_low)} to ${three(row.run_high)}`],
          [Page.quantity(row.samples), row.samples, "samples"], [row.probability_best.toFixed(2), row.probability_best, "probability_best"]]);
        for (const key of ["low", "high", "run_low", "run_high", "probability_best_run", "among_measured", "outside"]) made.dataset[key] = row[key];
        if (s === size) made.className = "chosen";
        body.appendChild(made);
      }
      draw(one, rows, size);
    }
    function draw(one, rows, size) {
      const known = rows.filter((row) => row.loss !== null), pick = (key) => known.map((row) => row[key]), x = pick("params");
      const [left, right] = box.querySelectorAll(".chart-box");
      const mark = rows[size].loss === null ? [] : [{ kind: "dots", x: [rows[size].params], y: [rows[size].loss], colour: "not", size: 5, dark: 1, quiet: true }];
      left.dataset.alt = `Loss of each size for ${Page.flops(flops)} FLOPs: ${known.map((row) => `${Page.quantity(row.params)} ${three(row.loss)}`).join(", ")}`;
      Page.show(left, { x: { label: "model size [parameters]", log: true }, y: { label: "loss, 1 − pass@1", word: "loss" }, marks: [
        { kind: "band", x, low: pick("run_low"), high: pick("run_high"), colour: "link", dark: 0.15 },
        { kind: "band", x, low: pick("low"), high: pick("high"), colour: "link", dark: 0.34 },
        { kind: "line", x, y: pick("loss"), low: pick("low"), high: pick("high"), colour: "link" }, ...mark] });
      const [low, high] = one.measured[size], grid = [], from = low / data.refused, to = high * data.refused;
      for (let i = 0; i <= 32; i++) grid.push(from * (to / from) ** (i / 32));
      const some = { ...one, sizes: [one.sizes[size]], measured: [one.measured[size]], known: [true], flops_a_sample: [1] };
      for (const name of ["k", "E", "run_k", "run_E"]) some[name] = one[name].filter((_, i) => i % one.sizes.length === size);
      const way = grid.map((at) => spend(some, at, data.refused * 1.001)[0]), of = (key) => way.map((row) => row[key]);
      right.dataset.alt = `Loss of ${Page.quantity(one.sizes[size])} by compute, from ${three(way[0].loss)} at ${Page.flops(from)} to ${three(way[32].loss)} at ${Page.flops(to)} FLOPs; measured from ${Page.flops(low)} to ${Page.flops(high)}`;
      Page.show(right, { x: { label: `compute of ${Page.quantity(one.sizes[size])} [FLOPs]`, log: true, write: "flops" }, y: { label: "loss, 1 − pass@1", word: "loss" }, marks: [
        { kind: "band", x: grid, low: of("run_low"), high: of("run_high"), colour: "link", dark: 0.15 },
        { kind: "band", x: grid, low: of("low"), high: of("high"), colour: "link", dark: 0.34 },
        { kind: "line", x: grid, y: of("loss"), low: of("low"), high: of("high"), colour: "link" },
        ...(flops >= from && flops <= to ? [{ kind: "upright", at: flops, colour: "not" }] : []), { kind: "upright", at: low, colour: "soft" }, { kind: "upright", at: high, colour: "soft" }] });
    }
    function typed() {
      const text = find("amount").value.replace(/[_,\s]/g, ""), match = /^(\d*\.?\d+(?:e[+-]?\d+)?)([kmbt]?)$/i.exec(text);
      const value = match ? +match[1] * { "": 1, k: 1e3, m: 1e6, b: 1e9, t: 1e12 }[match[2].toLowerCase()] / factor() : NaN;
      if (value > 0 && isFinite(value)) { flops = value; setSlider(); tell(); } else setText();
    }
    find("budget").addEventListener("input", () => { const [low, high] = limits(); flops = 10 ** (low + ((high - low) * +find("budget").value) / 1000); setText(); tell(); });
    find("amount").addEventListener("change", typed);
    find("size").addEventListener("input", tell);
    for (const name of ["unit", "gpu", "mfu", "price"]) find(name).addEventListener("change", () => { setText(); tell(); });
    find("series").addEventListener("change", () => { flops = series().start; find("size").max = series().sizes.length - 1; find("size").value = series().chosen; setSlider(); setText(); tell(); });
    find("size").max = series().sizes.length - 1;
    find("size").value = series().chosen;
    setSlider(); setText(); tell();
  }
  // Rollouts a prompt: what was measured at each budget and group size, no curve between.
  function rollouts(box, data) {
    const find = (name) => box.querySelector(`[name=${name}]`), said = box.querySelector("output");
    function tell() {
      const rows = data.budgets[find("resource").value], b = +find("budget").value, row = rows[b];
      find("group").max = row.arms.length - 1;
      const arm = row.arms[Math.min(+find("group").value, row.arms.length - 1)], at = data.write[find("resource").value] === "flops" ? Page.flops(row.budget) : Page.quantity(row.budget);
      Object.assign(box.dataset, { loss: arm.loss, low: arm.low, high: arm.high, group: arm.group_size, budget: row.budget });
      find("budget").setAttribute("aria-valuetext", at);
      find("group").setAttribute("aria-valuetext", arm.group_size);
      said.textContent = `At ${at} ${find("resource").selectedOptions[0].textContent}, ${arm.group_size} rollouts a prompt are at loss ${three(arm.loss)} [${three(arm.low)}, ${three(arm.high)}], ${solved(arm.loss)} of 100 solved. Likeliest best there: ${row.best} rollouts (probability ${row.probability.toFixed(2)})${row.runs_differ ? "" : "; with one run each, what another seed changes is not in this"}.`;
    }
    find("resource").addEventListener("change", () => { find("budget").max = data.budgets[find("resource").value].length - 1; tell(); });
    for (const name of ["budget", "group"]) find(name).addEventListener("input", tell);
    find("resource").dispatchEvent(new Event("change"));
  }
  // Fresh prompts that repeats are worth: D_eff = U + U R (1 - exp(-(D/U - 1)/R)).
  const worth = (samples, unique, star) => {
    const seen = Math.min(samples, unique), again = Math.max(samples / unique - 1, 0);
    return star === null ? samples : seen + unique * star * (-Math.expm1(-again / star));
  };
  function reuse(box, data) {
    const find = (name) => box.querySelector(`[name=${name}]`), said = box.querySelector("output");
    function tell() {
      const tau = 10 ** (+find("tau").value / 1000), unique = +find("unique").value.replace(/[_,\s]/g, "").replace(/k$/i, "e3").replace(/m$/i, "e6");
      find("tau").setAttribute("aria-valuetext", three(tau));
      const refused = tau > data.largest * data.refused || !(unique > 0);
      box.dataset.refused = refused ? "yes" : "no";
      if (refused) { said.textContent = unique > 0 ? `Seeing each prompt ${Page.quantity(tau)} times is more than ${data.refused} times what was measured (${Page.quantity(data.largest)}); nothing supports an answer there.` : "Write a number of prompts, such as 1000 or 50k."; return; }
      const [value, low, high] = ["value", "low", "high"].map((end) => worth(unique * tau, unique, data.r_star[end]));
      Object.assign(box.dataset, { value, low, high, tau });
      said.textContent = `${Page.quantity(unique)} prompts seen ${Page.quantity(tau)} times each are ${Page.quantity(unique * tau)} prompts of training, worth ${Page.quantity(value)} fresh ones [${Page.quantity(low)}, ${Page.quantity(high)}].`;
    }
    find("tau").addEventListener("input", tell);
    find("unique").addEventListener("change", tell);
    tell();
  }
  const KINDS = { plan, rollouts, reuse };
  document.addEventListener("DOMContentLoaded", () => {
    for (const box of document.querySelectorAll("[data-explorer]")) KINDS[box.dataset.explorer](box, JSON.parse(document.getElementById(box.dataset.numbers).textContent));
  });
  return { spend, worth };
})();
