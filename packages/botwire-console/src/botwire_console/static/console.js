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

function say(state, text) {
  for (const shown of document.querySelectorAll(".live")) {
    shown.className = `live ${state}`;
    if (shown.textContent !== text) shown.textContent = text;
  }
}

function refresh(region) {
  if (region.dataset.append) {
    const seqs = [...region.querySelectorAll("[data-seq]")].map((one) => Number(one.dataset.seq));
    const after = Math.max(Number(region.dataset.later), ...seqs);
    return htmx.ajax("GET", `${region.dataset.append}&after=${after}`, { target: region, swap: "beforeend" });
  }
  return htmx.ajax("GET", location.href, { target: region, swap: "outerHTML", select: `#${region.id}` });
}

function onChange() {
  clearTimeout(pending);
  pending = setTimeout(() => document.querySelectorAll("[data-live]").forEach(refresh), 200);
}

function follow() {
  const region = document.querySelector("[data-live]");
  stream?.close();
  clearTimeout(retry);
  if (!region || document.hidden) return;
  stream = new EventSource(region.dataset.live);
  let wasLost = region.dataset.lost === "1";
  stream.onopen = () => {
    say("on", "Live");
    if (wasLost) onChange(); // what was written meanwhile
    wasLost = false;
    delete region.dataset.lost;
  };
  stream.addEventListener("change", onChange);
  stream.addEventListener("problem", () => say("off", "Not live: reload the page"));
  stream.onerror = () => {
    say("off", "Reconnecting");
    wasLost = true;
    region.dataset.lost = "1";
    stream.close();
    clearTimeout(retry);
    retry = setTimeout(follow, 1000);
  };
}

document.addEventListener("visibilitychange", () => {
  const region = document.querySelector("[data-live]");
  if (region && document.hidden) region.dataset.lost = "1";
  follow();
});

// --- the rest --------------------------------------------------------------------------------------

document.addEventListener("htmx:after:swap", () => showTimes(document));
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

showTimes(document);
follow();
