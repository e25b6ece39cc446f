// State of the page, what it asks the local server for, and its keys.

import * as shown from "./shown.js?token={{token}}";

const { el, button, text } = shown;
const at = (id) => document.getElementById(id);

const state = { run: "", about: null, method: "", filters: new Set(), rivals: [], users: [] };
let found = null; // the user who is shown
let changes = none();
let answer = null; // to the latest changes, as an element
let listing = 0; // the latest list that was asked for, and so for cases
let showing = 0;

function none() {
  return { leave_out: new Set(), flip: new Set(), titles: new Map(), shuffle: null, greedy: true };
}

async function ask(what, request) {
  const response = await fetch(`api/${what}?token={{token}}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
  });
  const reply = await response.json();
  if (!response.ok) throw new Error(reply.error);
  return reply;
}

function count(number) {
  return number.toLocaleString("en");
}

function tell(message) {
  at("message").textContent = message;
  at("message").hidden = !message;
}

// An error of the server, or that it has ended, is told where the user looks.
function safely(work) {
  return async (...words) => {
    try {
      await work(...words);
    } catch (error) {
      tell(error instanceof TypeError ? `r2rec does not answer: ${error.message}` : error.message);
    }
  };
}

function address() {
  const words = new URLSearchParams({ run: state.run });
  if (found) words.set("user", found.raw_id);
  if (state.method) words.set("method", state.method);
  if (state.filters.size) words.set("filters", [...state.filters].join(","));
  if (at("text").value) words.set("text", at("text").value);
  return `#${words}`;
}

function remember() {
  history.replaceState(null, "", address());
}

async function openRun(name, wanted = new URLSearchParams()) {
  tell("reading the run …");
  at("run").value = name;
  const about = await ask("run", { run: name });
  tell("");
  state.run = name;
  state.about = about;
  const methods = about.methods.map((one) => one.method);
  const method = wanted.get("method") ?? state.method;
  state.method = methods.includes(method) ? method : about.chosen;
  const filters = wanted.get("filters")?.split(",") ?? [];
  state.filters = new Set(filters.filter((filter) => filter in about.filters));
  state.rivals = [];
  at("text").value = wanted.get("text") ?? "";
  at("about").textContent = `${about.dataset}, ${count(about.users)} users`;
  const user = wanted.get("user") ?? found?.raw_id;
  found = null;
  await listUsers();
  const known = wanted.has("user") || state.users.some(([raw]) => raw === user);
  if (known) await showUser(user);
  else if (state.users.length) await showUser(state.users[0][0]);
}

async function listUsers() {
  const number = ++listing;
  const reply = await ask("users", {
    run: state.run,
    method: state.method,
    filters: [...state.filters],
    rivals: state.rivals,
    text: at("text").value,
  });
  if (number !== listing) return;
  state.users = reply.users;
  drawMethods();
  drawFilters(reply);
  const rows = reply.users.map(([raw, title, rank]) =>
    el("li", {}, el("button", { "data-user": raw, onclick: () => safely(showUser)(raw) },
      text(raw), el("small", {}, text(title)),
      el("b", { class: rank === 1 ? "right" : "wrong" }, rank === null ? "–" : String(rank)))));
  at("users").replaceChildren(...rows);
  const kept = `${count(reply.users.length)} of ${count(state.about.users)} users`;
  at("count").textContent = `${kept}, with the held-out item and its place by ${state.method}`;
  markUser();
  remember();
}

function drawMethods() {
  at("methods").replaceChildren(...state.about.methods.map((one, index) =>
    button(`${index < 9 ? `${index + 1} ` : ""}${one.method}`, () => safely(choose)(one.method),
      { "aria-pressed": String(one.method === state.method) })));
}

function drawFilters(reply) {
  at("model").textContent = state.method;
  const names = Object.keys(state.about.filters).filter((name) => name in reply.counts);
  at("filters").replaceChildren(...names.map((name) => {
    const box = el("input", { type: "checkbox", id: `filter-${name}` });
    box.checked = state.filters.has(name);
    box.addEventListener("change", () => {
      if (box.checked) state.filters.add(name);
      else state.filters.delete(name);
      safely(listUsers)();
    });
    return el("label", {}, box, ` ${state.about.filters[name]} `, el("b", {}, reply.counts[name]));
  }));
  const others = state.about.methods.map((one) => one.method).filter((m) => m !== state.method);
  const rivals = ["", ...others].map((method) =>
    el("option", { value: method }, method || "all but its own stages and chance"));
  at("rivals").replaceChildren(...rivals);
  at("rivals").value = state.rivals[0] ?? "";
}

async function choose(method) {
  state.method = method;
  if (state.rivals.includes(method)) state.rivals = [];
  answer = null;
  await listUsers();
  if (found) drawCase();
}

async function showUser(user) {
  const number = ++showing;
  const reply = await ask("case", { run: state.run, user });
  if (number !== showing) return;
  tell("");
  found = reply;
  changes = none();
  answer = null;
  drawCase();
  markUser();
  remember();
  at("main").scrollTop = 0;
}

function markUser() {
  for (const row of at("users").querySelectorAll("button")) {
    const here = found !== null && row.dataset.user === found.raw_id;
    row.setAttribute("aria-current", String(here));
    if (here) row.scrollIntoView({ block: "nearest" });
  }
}

function step(by) {
  const place = state.users.findIndex(([raw]) => raw === found?.raw_id);
  const next = state.users[place < 0 ? 0 : place + by];
  if (next) safely(showUser)(next[0]);
}

function drawCase() {
  const method = state.about.methods.find((one) => one.method === state.method);
  const edits = method.why_not === null ? editor : () => null;
  const focused = document.activeElement.id;
  at("case").replaceChildren(...[
    shown.head(found),
    shown.matrix(found, state.method, safely(choose), edits),
    shown.told(found, edits),
    whatIf(method),
    shown.answered(found, state.method),
    shown.prompt(found),
  ].flat().filter(Boolean));
  if (focused) at(focused)?.focus({ preventScroll: true });
}

function toggled(set, value) {
  return () => {
    if (!set.delete(value)) set.add(value);
    drawCase();
  };
}

// What can be changed about the item at "h1", "c2", "e2" or "kA".
function editor(place, item, isRated = true) {
  const parts = [];
  const toggle = (title, set, value, id) => parts.push(button(title, toggled(set, value),
    { id, class: "edit", "aria-pressed": String(set.has(value)) }));
  if (place[0] === "c") {
    toggle("leave out", changes.leave_out, Number(place.slice(1)), `leave-${place}`);
  }
  if (isRated) toggle("flip rating", changes.flip, place, `flip-${place}`);
  const id = `title-${place}`;
  if (changes.titles.has(place)) {
    const box = el("input", { id, class: "edit", "aria-label": "new title", maxlength: 200 });
    box.value = changes.titles.get(place);
    box.addEventListener("input", () => changes.titles.set(place, box.value));
    const keep = () => {
      changes.titles.delete(place);
      drawCase();
    };
    parts.push(box, button("keep title", keep, { class: "edit" }));
  } else {
    const change = () => {
      changes.titles.set(place, item.title);
      drawCase();
    };
    parts.push(button("change title", change, { id, class: "edit" }));
  }
  return el("span", { class: "edits" }, parts);
}

function whatIf(method) {
  if (method.why_not !== null) {
    return el("section", { id: "whatif" }, el("h3", {}, "What if"),
      el("p", { class: "muted" }, method.why_not));
  }
  const shuffle = el("input", { type: "checkbox", id: "shuffle" });
  shuffle.checked = changes.shuffle !== null;
  shuffle.addEventListener("change", () => {
    changes.shuffle = shuffle.checked ? Math.floor(Math.random() * 1000) : null;
    drawCase();
  });
  const greedy = el("input", { type: "checkbox", id: "greedy" });
  greedy.checked = changes.greedy;
  greedy.addEventListener("change", () => { changes.greedy = greedy.checked; });
  return el("section", { id: "whatif" }, el("h3", {}, "What if"),
    el("p", { class: "muted" }, "Leave chains out, flip ratings or change titles above; ",
      `${method.method} then answers again, beside its answer to the prompt as it was.`),
    el("p", {}, el("label", {}, shuffle, " shuffle the candidates",
      changes.shuffle === null ? "" : ` (seed ${changes.shuffle})`), " ",
    el("label", {}, greedy, " the likeliest words (else drawn as in the run)")),
    el("p", {}, button("Ask again", safely(askAgain), { id: "ask" }), " ",
      button("Undo all", undo, { id: "undo" })),
    el("div", { id: "reply", "aria-live": "polite" }, answer));
}

function undo() {
  changes = none();
  answer = null;
  drawCase();
}

async function askAgain() {
  const number = showing;
  const method = state.method;
  answer = el("p", { class: "muted" }, "The model is writing …");
  drawCase();
  at("ask").disabled = true;
  let told = null;
  try {
    const begin = performance.now();
    const reply = await ask("ask", {
      run: state.run,
      user: found.raw_id,
      method,
      greedy: changes.greedy,
      changes: {
        leave_out: [...changes.leave_out],
        flip: [...changes.flip],
        titles: Object.fromEntries(changes.titles),
        shuffle: changes.shuffle,
      },
    });
    told = shown.compared(reply, found, (performance.now() - begin) / 1000);
  } catch (error) {
    told = el("p", { class: "error", role: "alert" }, error.message);
  }
  if (number !== showing || method !== state.method) return;
  answer = told;
  drawCase();
}

function turn(by) {
  const methods = state.about.methods.map((one) => one.method);
  const next = methods[methods.indexOf(state.method) + by];
  if (next) safely(choose)(next);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !state.about) return;
  if (event.target === at("text") && (event.key === "Escape" || event.key === "Enter")) {
    at("text").blur();
    if (event.key === "Enter" && state.users.length) safely(showUser)(state.users[0][0]);
    return;
  }
  if (event.target.matches("input:not([type=checkbox]), select, textarea")) return;
  const digit = /^[1-9]$/.test(event.key) ? state.about.methods[Number(event.key) - 1] : null;
  if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "ArrowRight") turn(1);
  else if (event.key === "ArrowLeft") turn(-1);
  else if (event.key === "/") at("text").focus();
  else if (digit) safely(choose)(digit.method);
  else return;
  event.preventDefault();
});

at("text").addEventListener("input", safely(listUsers));
at("rivals").addEventListener("change", () => {
  state.rivals = at("rivals").value ? [at("rivals").value] : [];
  safely(listUsers)();
});
at("run").addEventListener("change", () => safely(openRun)(at("run").value));
window.addEventListener("hashchange", safely(fromAddress));

async function fromAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const { runs } = await ask("runs", {});
  at("run").replaceChildren(...runs.map((name) => el("option", {}, name)));
  const name = wanted.get("run") ?? runs[0];
  await openRun(name, wanted);
}

if (matchMedia("(max-width: 50rem)").matches) at("filtering").open = false;
safely(fromAddress)();
