// What HTML cannot do by itself: times in the reader's zone, and pages that follow the memory.

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const sameYear = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const otherYear = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const format = at.getFullYear() === new Date().getFullYear() ? sameYear : otherYear;
    time.textContent = format.format(at);
    time.title = exact.format(at);
  }
}

// --- live ----------------------------------------------------------------------------------------

let stream = null;
let retry = 0;
let pending = 0;
let isBusy = false;
let isStale = false; // whether something changed during a refresh
const served = new WeakMap(); // the markup of each message as the server sent it

function say(state, text) {
  for (const shown of document.querySelectorAll(".live")) {
    shown.className = `live ${state}`;
    if (shown.textContent !== text) shown.textContent = text;
  }
}

const messages = (root) => [...root.querySelectorAll("[data-seq]")];
const seq = (message) => Number(message.dataset.seq);

function keep(root) {
  for (const one of messages(root)) if (!served.has(one)) served.set(one, one.outerHTML);
}

async function load() {
  const answer = await fetch(location.href, { headers: { "HX-Request": "true" } });
  if (answer.headers.has("HX-Refresh")) location.reload(); // the session ended
  if (!answer.ok) throw new Error(answer.statusText);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// Replaces only the messages that differ, so one that is unfolded stays so. Returns false if that cannot
// be done: without a message that is in both lists, those between them are unknown. Latest ones before
// it are left out, because they may be answers that the list shows with their calls.
function merge(list, latest) {
  const [isAll, wasAll] = [latest, list].map((one) => !one.querySelector(".earlier"));
  const shown = new Set(messages(list).map(seq));
  const first = messages(latest).findIndex((one) => shown.has(seq(one)));
  if (first < 0 || (isAll && !wasAll)) return false;
  const fresh = messages(latest).slice(isAll ? 0 : first);
  const seqs = new Set(fresh.map(seq));
  for (const old of messages(list)) {
    if ((isAll || seq(old) >= seq(fresh[0])) && !seqs.has(seq(old))) old.remove();
  }
  for (const one of fresh) {
    const next = messages(list).find((old) => seq(old) >= seq(one));
    if (!next) list.append(one);
    else if (seq(next) !== seq(one)) next.before(one);
    else if (served.get(next) !== one.outerHTML) next.replaceWith(one);
  }
  return true;
}

function update(region, page) {
  const fresh = page.getElementById(region.id);
  keep(fresh);
  const [list, latest] = [region, fresh].map((one) => one.querySelector(".turns"));
  if (!list || !latest || !merge(list, latest)) { region.replaceWith(fresh); htmx.process(fresh); }
  const facts = page.getElementById("facts");
  if (facts) document.getElementById("facts").replaceWith(facts);
  showTimes(document);
}

async function refresh() {
  isStale = true;
  if (isBusy) return;
  isBusy = true;
  try {
    while (isStale) {
      isStale = false;
      const page = await load();
      update(document.querySelector("[data-live]"), page);
    }
  } catch {
    isStale = false;
    lost();
  } finally {
    isBusy = false;
  }
}

function onChange() {
  pending ||= setTimeout(() => { pending = 0; refresh(); }, 200);
}

function lost() {
  say("off", "Reconnecting");
  stream?.close();
  clearTimeout(retry);
  retry = setTimeout(follow, 1000);
}

function follow() {
  const region = document.querySelector("[data-live]");
  stream?.close();
  clearTimeout(retry);
  if (!region || document.hidden) return;
  stream = new EventSource(region.dataset.live);
  stream.onopen = () => { say("on", "Live"); onChange(); }; // what was written meanwhile
  stream.addEventListener("change", onChange);
  stream.addEventListener("problem", () => say("off", "Not live: reload the page"));
  stream.onerror = () => { lost(); load().catch(() => {}); }; // the session may have ended
}

document.addEventListener("visibilitychange", follow);

// --- the rest --------------------------------------------------------------------------------------

document.addEventListener("htmx:after:swap", () => { keep(document); showTimes(document); });
for (const name of ["htmx:response:error", "htmx:error"]) {
  document.addEventListener(name, (event) => {
    const link = event.target.closest?.(".more");
    if (link) link.textContent = "This failed: try again";
  });
}
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && !typing) {
    const search = document.querySelector("input[type=search]");
    if (search) { event.preventDefault(); search.focus(); }
  }
  if (event.key === "Escape") document.querySelectorAll(".confirm[open]").forEach((one) => { one.open = false; });
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && typing?.form) typing.form.requestSubmit();
});
document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-all]");
  if (all) all.form.querySelectorAll("input[type=checkbox]").forEach((box) => { box.checked = all.checked; });
});

keep(document);
showTimes(document);
follow();
