// What the page shows of a user, as elements. All texts are untrusted: they only become text nodes.

const LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

export function el(name, about = {}, ...inside) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(about)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if ((value ?? false) !== false) node.setAttribute(key, value);
  }
  node.append(...inside.flat().filter((part) => (part ?? false) !== false));
  return node;
}

export function text(value, about = {}) {
  return el("span", { class: "text", ...about }, String(value));
}

export function button(title, onclick, about = {}) {
  return el("button", { type: "button", onclick, ...about }, title);
}

function item(one) {
  return [text(one.title), el("small", {}, ` ${one.attributes.join(", ")}`)];
}

function section(title, ...inside) {
  return el("section", {}, el("h3", {}, title), ...inside);
}

export function head(found) {
  const right = found.candidates[found.positive];
  return [
    el("h2", {}, "User ", text(found.raw_id)),
    found.profile && el("p", {}, text(found.profile)),
    el("p", {}, "Held out: ", el("b", {}, `${found.truth} `), text(right.title)),
  ];
}

function placeOf(answer, label) {
  return answer.ranking.indexOf(label) + 1;
}

function shade(place) {
  if (place === 0) return "out";
  return place === 1 ? "first" : place <= 3 ? "high" : "low";
}

// Candidates by methods, in the order of the chosen one.
export function matrix(found, chosen, choose, editor) {
  const by = found.answers.find((answer) => answer.method === chosen) ?? found.answers[0];
  const labels = found.candidates.map((_, index) => LABELS[index]);
  labels.sort((a, b) => (placeOf(by, a) || 99) - (placeOf(by, b) || 99));
  const heads = found.answers.map((answer) =>
    el("th", { scope: "col", "aria-current": answer.method === chosen ? "true" : null },
      button(answer.method, () => choose(answer.method)), el("small", {}, answer.variant)));
  const rows = labels.map((label) => {
    const index = LABELS.indexOf(label);
    const facts = found.facts[index];
    const cells = found.answers.map((answer) => {
      const place = placeOf(answer, label);
      const here = answer.method === chosen ? " chosen" : "";
      return el("td", { class: shade(place) + here }, place ? String(place) : "–");
    });
    return el("tr", { id: `k${label}`, class: index === found.positive ? "truth" : null },
      el("th", { scope: "row" }, el("b", {}, `${label} `), item(found.candidates[index]),
        facts && el("small", {}, `, ${facts.ratings} ratings, ${facts.liked}% liked`),
        editor(`k${label}`, found.candidates[index], false)),
      cells);
  });
  return section("Candidates by methods",
    el("div", { class: "wide", id: "k" }, el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "place of each candidate"), heads)),
      el("tbody", {}, rows))));
}

function rated(who, rating) {
  return el("i", { class: rating > 3 ? "y" : "" }, `${who} ${rating}`);
}

export function told(found, editor) {
  const history = found.history.map((one, index) =>
    el("li", {}, item(one), editor(`h${index + 1}`, one)));
  const closed = found.chains.map((chain, index) => {
    const back = chain.rating_u2 === null ? null : rated("user", chain.rating_u2);
    return el("li", { id: `c${index + 1}` }, rated("user", chain.rating_u1), " ", item(chain.item1),
      editor(`c${index + 1}`, chain.item1), " ", rated("neighbour", chain.rating_v1), " ",
      rated("neighbour", chain.rating_v2), " ", item(chain.item2), " ", back,
      editor(`e${index + 1}`, chain.item2, back !== null));
  });
  const evidence = found.in_full.map((index, n) => {
    const chain = found.evidence[index];
    const label = LABELS[index];
    return el("li", { id: `c${n + 1}` }, rated("user", chain.rating_u1), " ", item(chain.item1),
      `; ${chain.raters} others rated it; ${chain.soon} of them soon rated `, el("b", {}, label),
      `, ${chain.liked} liked it; ${chain.links} recent ratings lead to ${label}`,
      chain.witness && `; another model ranks ${label} ${chain.witness}`,
      editor(`c${n + 1}`, chain.item1));
  });
  const order = found.evidence.map((one, index) => [one.place, LABELS[index]]);
  order.sort((a, b) => a[0] - b[0]);
  return [
    history.length > 0 && section("Liked, latest last", el("ol", { id: "h" }, history)),
    closed.length > 0 && section("Interaction chains", el("ol", { class: "chains" }, closed)),
    evidence.length > 0 && section("Evidence chains", el("ol", { class: "chains" }, evidence)),
    order.length > 0 && el("p", { id: "c0", class: "muted" },
      `by evidence, strongest first: ${order.map((one) => one[1]).join(", ")}`),
  ];
}

function go(target) {
  const chain = target.split("-")[0]; // a hop of it, "c2-3", has no place of its own here
  const place = document.getElementById(target) ?? document.getElementById(chain);
  if (!place) return;
  place.scrollIntoView({ block: "center" });
  place.classList.add("shown");
  setTimeout(() => place.classList.remove("shown"), 1500);
}

function piece(part) {
  if (part.truth === null) return text(part.text);
  const truth = part.truth || "not in the prompt";
  return [el("del", {}, part.text), el("ins", {}, truth)];
}

export function thought(answer) {
  if (!answer.wrote) return el("p", { class: "muted" }, `${answer.method} writes no text.`);
  const steps = answer.steps.map((step) =>
    el("li", { class: step.verdict }, step.pieces.map(piece), " ",
      step.links.map(([title, target]) => button(title, () => go(target), { class: "link" }))));
  return el("div", { class: "thought" },
    answer.claims && el("p", { class: "muted" }, answer.claims, answer.why && `; ${answer.why}`),
    answer.before && el("p", {}, text(answer.before)),
    el("ol", {}, steps),
    el("p", {}, text(answer.tail || "(no answer)")));
}

export function answered(found, chosen) {
  const answer = found.answers.find((one) => one.method === chosen);
  if (!answer) return null;
  return section(`${answer.method}: ${answer.summary}`, thought(answer));
}

export function prompt(found) {
  if (found.prompt === null) return null;
  const since = `as it would be now; changed since: ${found.changed.join(", ")}`;
  const changed = found.changed.length > 0 && el("p", { class: "muted" }, since);
  return el("details", { class: "prompt" }, el("summary", {}, "The prompt, word for word"),
    changed, el("pre", {}, found.prompt));
}

function moved(move) {
  if (move.from === move.to) return `${move.to ?? "left out"}`;
  const way = (move.to ?? 99) < (move.from ?? 99) ? "▲" : "▼";
  return `${move.from ?? "left out"} → ${move.to ?? "left out"} ${way}`;
}

// A model's answer to the changed case, beside the one to the case as it was.
export function compared(reply, found, seconds) {
  const same = reply.moves.every((move) => move.from === move.to);
  const moves = reply.moves.toSorted((a, b) => (a.to ?? 99) - (b.to ?? 99)).map((move) =>
    el("tr", { class: move.label === found.truth ? "truth" : null },
      el("th", { scope: "row" }, el("b", {}, `${move.label} `),
        text(found.candidates[LABELS.indexOf(move.label)].title)),
      el("td", {}, move.now === move.label ? "" : `now ${move.now}`),
      el("td", { class: move.from === move.to ? "" : "moved" }, moved(move))));
  const column = (title, answer) => el("div", { class: title === "as it was" ? "before" : "after" },
    el("h4", {}, `${title}: ${answer.summary}`), thought(answer));
  const lines = reply.lines.filter(([kind]) => kind !== "same");
  return el("div", { id: "compared" },
    el("p", { role: "status" }, same ? "The ranking stays as it was." : "The ranking changes.",
      ` Written in ${seconds.toFixed(1)} s.`),
    lines.length > 0 && el("pre", { class: "diff" }, lines.map(([kind, line]) =>
      el("span", { class: kind }, `${kind === "gone" ? "−" : "+"} ${line}\n`))),
    el("div", { class: "columns" }, column("as it was", reply.before),
      column("changed", reply.after)),
    el("div", { class: "wide" }, el("table", {}, el("tbody", {}, moves))),
    el("details", { class: "prompt" }, el("summary", {}, "The changed prompt"),
      el("pre", {}, reply.prompt)));
}
