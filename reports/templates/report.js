"use strict";
// What the page can do beyond being read. Everything shown is in the page before this runs; text from
// the data is only ever set as textContent.
(() => {
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  /* Tables: sorted by any column, filtered where they are long. */

  const SORTED_FROM = 3, FILTERED_FROM = 12;
  const COLLATOR = new Intl.Collator("en", { numeric: true });
  // A number that begins a cell, after words that bound it; "not estimable (n=0)" begins with none.
  const NUMBER = /^(<|>|under|over|at least|at most)?\s*([−+-]?)(\d[\d,]*(?:\.\d+)?(?:e[−+-]?\d+)?)/;

  // Cells are written with spaces at which no line breaks.
  const plain = (text) => text.replaceAll("\u00a0", " ").trim().toLocaleLowerCase("en");

  const numberIn = (text) => {
    const found = NUMBER.exec(text);
    if (!found) return NaN;
    const size = Number(found[3].replaceAll(",", "").replace("−", "-"));
    const value = found[2] === "−" || found[2] === "-" ? -size : size;
    // "< 0.0001" lies below 0.0001 and above all that is written as smaller.
    if (/^(<|under|at most)/.test(text)) return value - Math.abs(value) * 1e-9;
    return /^(>|over|at least)/.test(text) ? value + Math.abs(value) * 1e-9 : value;
  };

  const order = (rows, column, numeric, direction) => {
    const key = (row) => row.cells[column].textContent.trim();
    if (!numeric) return rows.sort((a, b) => direction * COLLATOR.compare(key(a), key(b)));
    const known = (row) => !Number.isNaN(numberIn(key(row)));
    const undefinedLast = (a, b) => known(b) - known(a);
    return rows.sort((a, b) =>
      undefinedLast(a, b) || (known(a) ? direction * (numberIn(key(a)) - numberIn(key(b))) : 0));
  };

  const sortable = (table) => {
    const body = table.tBodies[0], original = [...body.rows];
    if (original.length < SORTED_FROM) return;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button", className: "sort" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: null }[head.ariaSort] ??
          (head.ariaSort === "descending" ? null : "ascending");
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        const numeric = column > 0 && !head.classList.contains("text");
        body.append(...(next
          ? order([...original], column, numeric, next === "ascending" ? 1 : -1)
          : original));
      });
    });
  };

  const filterable = (table, number) => {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < FILTERED_FROM) return;
    const input = make("input", { type: "search", autocomplete: "off", spellcheck: false });
    const count = make("output", {}, `${rows.length} rows`);
    input.addEventListener("input", () => {
      const wanted = plain(input.value);
      let shown = 0;
      for (const row of rows) {
        row.hidden = !plain(row.textContent).includes(wanted);
        shown += !row.hidden;
      }
      count.textContent = wanted ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
    });
    // On the line of the caption; the table keeps the caption's words as its name.
    const name = make("span", { id: `table-${number}`, textContent: table.caption.textContent });
    const label = make("label", {}, "Filter ", input);
    const controls = make("span", { className: "controls" }, label, count);
    table.caption.replaceChildren(make("span", { className: "with-controls" }, name, controls));
    table.setAttribute("aria-labelledby", name.id);
    input.setAttribute("aria-label", `Filter the table “${name.textContent}”`);
  };

  document.querySelectorAll(".scroll > table").forEach((table, number) => {
    sortable(table);
    filterable(table, number);
  });

  /* Charts: the drawn picture becomes a Vega view when it comes near the screen. */

  const KEYS = make("p", { id: "chart-keys", className: "offscreen" },
    "Arrow keys step through the values of the chart, Escape hides them. " +
    "Where the legend can be clicked, L steps through it and dims the rest.");
  const SPOKEN = make("p", { className: "offscreen" });
  SPOKEN.setAttribute("role", "status");
  const TIP = make("div", { className: "tip", hidden: true });
  TIP.setAttribute("aria-hidden", "true");
  const RING = make("div", { className: "ring", hidden: true });
  document.querySelector("main").append(KEYS, SPOKEN, TIP, RING);

  const refuse = () => Promise.reject(new Error("This page loads nothing."));
  const OPTIONS = {
    mode: "vega-lite", ast: true, renderer: "svg", actions: false, defaultStyle: false,
    tooltip: false, hover: false,
    loader: { load: refuse, sanitize: refuse, http: refuse, file: refuse },
  };
  const NEAR = 18;

  const said = (mark) => mark.__data__.tooltip;

  const marksOf = (live) => [...live.querySelectorAll("path, rect, line, circle")].filter((mark) =>
    mark.__data__ && typeof mark.__data__.tooltip === "string" && !mark.closest(".role-legend"));

  const hide = () => {
    TIP.hidden = true;
    RING.hidden = true;
  };

  const show = (mark) => {
    TIP.replaceChildren(...said(mark).split("\n").map((line) =>
      make("div", { textContent: line, dir: "auto" })));
    TIP.hidden = RING.hidden = false;
    const box = mark.getBoundingClientRect(), size = TIP.getBoundingClientRect();
    const wide = document.documentElement.clientWidth;
    const left = Math.max(4, Math.min(box.left + box.width / 2 - size.width / 2, wide - size.width - 4));
    const above = box.top - size.height - 8;
    TIP.style.left = `${left + scrollX}px`;
    TIP.style.top = `${(above > 4 ? above : box.bottom + 8) + scrollY}px`;
    Object.assign(RING.style, {
      left: `${box.left + scrollX - 3}px`, top: `${box.top + scrollY - 3}px`,
      width: `${box.width + 6}px`, height: `${box.height + 6}px`,
    });
  };

  const nearest = (live, x, y) => {
    let found = null, least = NEAR;
    for (const mark of marksOf(live)) {
      const box = mark.getBoundingClientRect();
      const away = Math.hypot(Math.max(box.left - x, 0, x - box.right),
        Math.max(box.top - y, 0, y - box.bottom));
      // Of marks that lie over each other, the last is on top.
      if (away <= least) [found, least] = [mark, away];
    }
    return found;
  };

  // The legend by keyboard: as clicked, entry after entry, then none.
  const choosing = (live) => {
    const labels = [...live.querySelectorAll(".role-legend-label text")];
    let chosen = -1;
    return () => {
      chosen = chosen + 1 < labels.length ? chosen + 1 : -1;
      const entry = labels[chosen] ?? live.querySelector("svg");
      entry.dispatchEvent(new MouseEvent("click", { bubbles: true }));
      SPOKEN.textContent = chosen < 0 ? "all shown" : `only ${entry.textContent}`;
    };
  };

  const answering = (live, choose) => {
    let at = -1;
    live.addEventListener("pointermove", (event) => {
      const mark = nearest(live, event.clientX, event.clientY);
      if (mark) show(mark);
      else hide();
    });
    live.addEventListener("pointerleave", hide);
    live.addEventListener("blur", hide);
    live.addEventListener("keydown", (event) => {
      // Marks that say the same (a point and its interval) are one stop.
      const stops = [...new Map(marksOf(live).map((mark) => [said(mark), mark])).values()];
      const goal = {
        ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1,
        Home: 0, End: stops.length - 1,
      }[event.key];
      if (event.key === "Escape") hide();
      if (choose && event.key.toLowerCase() === "l" && !(event.ctrlKey || event.metaKey || event.altKey)) choose();
      if (goal === undefined || !stops.length) return;
      event.preventDefault();
      at = Math.max(0, Math.min(goal, stops.length - 1));
      show(stops[at]);
      SPOKEN.textContent = said(stops[at]).replaceAll("\n", ", ");
    });
  };

  const upgrade = async (panel) => {
    const drawn = panel.querySelector("svg.chart");
    const live = make("div", { className: "live", tabIndex: 0 });
    const spec = JSON.parse(panel.querySelector("script").textContent);
    const { view } = await vegaEmbed(live, spec, OPTIONS);
    live.querySelector("form")?.remove();
    const svg = live.querySelector("svg"), name = drawn.getAttribute("aria-labelledby");
    svg.classList.add("chart");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-labelledby", name);
    // The picture has one name; its parts, to which Vega gives roles without any, have none.
    for (const part of svg.children) part.setAttribute("aria-hidden", "true");
    live.setAttribute("role", "application");
    live.setAttribute("aria-roledescription", "chart");
    live.setAttribute("aria-labelledby", name.split(" ")[0]);
    live.setAttribute("aria-describedby", KEYS.id);
    live.vegaView = view;
    answering(live, spec.params?.some(({ bind }) => bind === "legend") && choosing(live));
    drawn.after(live);
    panel.classList.add("is-live");
  };

  const watch = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watch.unobserve(target);
      upgrade(target);
    }
  }, { rootMargin: "400px" });
  for (const panel of document.querySelectorAll(".panel")) watch.observe(panel);

  addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
})();
