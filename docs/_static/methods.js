/* The table of methods: search, sorting, pages, and rows that open. Without this file the table stands whole in the page. */
"use strict";

(() => {
  const LENGTHS = [5, 10, 20, 50, 200];

  /** Element with attributes and children. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const textOf = (cell) => cell.textContent.trim().toLowerCase();

  /** Order of two texts: numbers by size, words by letters. */
  const compare = (a, b) => a.localeCompare(b, "en", { numeric: true });

  /** Give a method the button that opens and closes its description. */
  function addToggle(body) {
    const [row, more] = body.rows;
    const label = `Description of ${row.cells[1].textContent}`;
    const button = make("button", { type: "button", "aria-controls": more.id, "aria-label": label });
    const open = (isOpen) => {
      more.hidden = !isOpen;
      button.setAttribute("aria-expanded", String(isOpen));
      button.textContent = isOpen ? "\u2212" : "+";
    };
    button.addEventListener("click", () => open(more.hidden));
    row.cells[0].append(button);
    open(false);
  }

  function enhance(root) {
    const table = root.querySelector("table");
    const bodies = [...table.tBodies];
    const words = new Map(bodies.map((body) => [body, textOf(body)]));
    const keys = new Map(bodies.map((body) => [body, [...body.rows[0].cells].map(textOf)]));
    const heads = [...table.tHead.rows[0].cells];
    const byName = (a, b) => compare(keys.get(a)[1], keys.get(b)[1]);
    const isEmpty = (body) => Number(!keys.get(body)[state.column]);
    const state = { query: "", column: 2, descending: true, length: LENGTHS[0], page: 0 };

    const search = make("input", { type: "search", placeholder: "name, task, input, \u2026" });
    const length = make("select", {}, ...LENGTHS.map((n) => make("option", { value: n }, String(n))));
    const status = make("p", { role: "status" });
    const before = make("button", { type: "button" }, "Previous");
    const after = make("button", { type: "button" }, "Next");
    const place = make("span");

    function draw() {
      const asked = state.query.toLowerCase().split(/\s+/).filter(Boolean);
      const found = bodies.filter((body) => asked.every((word) => words.get(body).includes(word)));
      const turn = state.descending ? -1 : 1;
      const byColumn = (a, b) => turn * compare(keys.get(a)[state.column], keys.get(b)[state.column]);
      found.sort((a, b) => isEmpty(a) - isEmpty(b) || byColumn(a, b) || byName(a, b));
      const pages = Math.max(1, Math.ceil(found.length / state.length));
      state.page = Math.min(Math.max(state.page, 0), pages - 1);
      const first = state.page * state.length;
      const shown = found.slice(first, first + state.length);
      for (const body of bodies) body.hidden = !shown.includes(body);
      table.append(...shown);
      heads.forEach((head, column) => {
        if (column) head.setAttribute("aria-sort", column !== state.column ? "none" : state.descending ? "descending" : "ascending");
      });
      const of = found.length === bodies.length ? `${bodies.length} methods` : `${found.length} found among ${bodies.length} methods`;
      status.textContent = found.length ? `Showing ${first + 1} to ${first + shown.length} of ${of}` : "No method has all of these words";
      place.textContent = `Page ${state.page + 1} of ${pages}`;
      before.setAttribute("aria-disabled", String(state.page === 0));
      after.setAttribute("aria-disabled", String(state.page === pages - 1));
    }

    function change(values) {
      Object.assign(state, { page: 0 }, values);
      draw();
    }

    bodies.forEach(addToggle);
    heads.slice(1).forEach((head, place) => {
      const column = place + 1;
      const button = make("button", { type: "button" }, ...head.childNodes);
      button.addEventListener("click", () => {
        // a second press turns the order; years begin with the newest
        change({ column, descending: state.column === column ? !state.descending : column === 2 });
      });
      head.append(button);
    });
    search.addEventListener("input", () => change({ query: search.value }));
    length.addEventListener("change", () => change({ length: Number(length.value) }));
    before.addEventListener("click", () => change({ page: state.page - 1 }));
    after.addEventListener("click", () => change({ page: state.page + 1 }));
    root.prepend(make("div", { class: "methods-bar" },
      make("label", {}, "Search ", search), make("label", {}, "Rows ", length)));
    root.append(make("div", { class: "methods-bar" },
      status, make("nav", { "aria-label": "Pages of the table" }, before, place, after)));
    draw();
  }

  document.querySelectorAll(".methods").forEach(enhance);
})();
