// The page works without this, by ordinary forms. With it, what other devices
// write appears by itself, and what is written here needs no new page.
"use strict";

const news = document.getElementById("news");
const main = document.querySelector("main");

const silent = "The program behind this page does not answer. ";

// What the server said of each section, to see what it says otherwise.
const said = new Map([...main.querySelectorAll("section")].map((section) => [section.id, section.outerHTML]));

// What a person is typing is not taken from under their hands: it goes over into
// the section's new form.
function carryOver(from, to) {
	for (const field of from.querySelectorAll("input[id], textarea[id]")) {
		const next = to.querySelector("#" + CSS.escape(field.id));
		if (next && field.value !== field.defaultValue) next.value = field.value;
	}
}

// show puts the sections of a page in place of those here that said something else.
function show(html, fromElsewhere) {
	const next = new DOMParser().parseFromString(html, "text/html");
	const focused = document.activeElement;
	const caret = focused instanceof HTMLTextAreaElement ? [focused.selectionStart, focused.selectionEnd] : null;
	let changed = false;
	const sections = [...next.querySelectorAll("main > section")];
	for (const old of main.querySelectorAll("section")) {
		if (!sections.some((section) => section.id === old.id)) {
			said.delete(old.id);
			old.remove();
		}
	}
	for (const [i, section] of sections.entries()) {
		if (said.get(section.id) === section.outerHTML) continue;
		said.set(section.id, section.outerHTML);
		const old = document.getElementById(section.id);
		if (old) {
			carryOver(old, section);
			old.replaceWith(section);
		} else {
			document.getElementById(sections[i - 1].id).after(section); // habits stand first, always
		}
		if (fromElsewhere && section.id !== "sync") {
			section.classList.add("fresh");
			changed = true;
		}
	}
	if (focused && focused.id && !focused.isConnected) {
		const again = document.getElementById(focused.id);
		again?.focus({ preventScroll: true });
		if (again && caret) again.setSelectionRange(...caret);
	}
	if (changed) news.textContent = "Another device has written something.";
}

// Of answers that overtake one another the one that was asked for last counts.
let asked = 0;
async function refresh(fromElsewhere) {
	const mine = ++asked;
	try {
		const answer = await fetch("/");
		const html = await answer.text();
		if (answer.ok && mine === asked) show(html, fromElsewhere);
	} catch {
		// The stream says so, too, and is opened again.
	}
}

document.addEventListener("submit", async (event) => {
	const form = event.target;
	event.preventDefault();
	const body = new URLSearchParams(new FormData(form, event.submitter));
	const mine = ++asked;
	try {
		const answer = await fetch(form.action, { method: "POST", body });
		const html = await answer.text();
		if (!answer.ok) {
			news.textContent = html.trim();
			return;
		}
		news.textContent = "";
		form.reset();
		if (mine === asked) show(html, false);
		else refresh(false);
	} catch {
		news.textContent = silent + "What you wrote is still here; send it again later.";
	}
});

const stream = new EventSource("/events");
stream.addEventListener("open", () => {
	if (news.textContent.startsWith(silent)) news.textContent = "";
	refresh(false);
});
stream.addEventListener("rows", () => refresh(true));
stream.addEventListener("state", () => refresh(false));
stream.addEventListener("error", () => {
	const over = stream.readyState === EventSource.CLOSED;
	news.textContent = silent + (over ? "If it was started anew, open the address that it has printed." : "Trying again …");
});

// A page that was in the background over midnight shows yesterday.
document.addEventListener("visibilitychange", () => document.hidden || refresh(false));
