(function () {
  "use strict";
  const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  const read = (id) => JSON.parse(document.getElementById(id).textContent);

  // Tables: a heading with data-sort becomes a button. Not a button element: Chromium leaves those out of the
  // headings that it repeats on each printed page.
  all("table.sortable").forEach((table) => {
    all("thead th[data-sort]", table).forEach((heading) => {
      const button = document.createElement("span");
      button.setAttribute("role", "button");
      button.tabIndex = 0;
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        button.click();
      });
      button.addEventListener("click", () => {
        const numeric = heading.dataset.sort === "number";
        const now = heading.getAttribute("aria-sort");
        const falling = now ? now === "ascending" : numeric;
        all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const column = heading.cellIndex;
        const key = (row) => {
          const cell = row.cells[column];
          const text = cell.dataset.value !== undefined ? cell.dataset.value : cell.textContent.trim();
          return numeric ? (text === "" ? NaN : Number(text)) : text;
        };
        const body = table.tBodies[0];
        const rows = Array.from(body.rows).map((row) => [key(row), row]);
        rows.sort(([a], [b]) => {
          // What is missing stays last either way.
          if (numeric) {
            if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
            return falling ? b - a : a - b;
          }
          return (falling ? -1 : 1) * a.localeCompare(b, undefined, { numeric: true });
        });
        body.append(...rows.map(([, row]) => row));
      });
    });
  });

  // The section that is being read is marked in the list of sections.
  const links = new Map(all("nav a").map((link) => [link.getAttribute("href").slice(1), link]));
  if ("IntersectionObserver" in window) {
    const seen = new IntersectionObserver((entries) => {
      entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
        links.forEach((link) => link.removeAttribute("aria-current"));
        links.get(entry.target.id).setAttribute("aria-current", "true");
      });
    }, { rootMargin: "-10% 0px -80% 0px" });
    links.forEach((link, id) => seen.observe(document.getElementById(id)));
  }

  // One network at a time; without scripts all are shown. Sections without the chosen one keep theirs.
  const choose = (name) => {
    all("section").forEach((section) => {
      const blocks = all("[data-setup]", section);
      const setups = new Set(blocks.map((block) => block.dataset.setup));
      if (setups.size < 2 || !setups.has(name)) return;
      blocks.forEach((block) => { block.hidden = block.dataset.setup !== name; });
      all("[data-choose]", section).forEach((button) => {
        button.setAttribute("aria-pressed", String(button.dataset.choose === name));
      });
    });
    document.dispatchEvent(new Event("chosen"));
  };
  all("[data-choose]").forEach((button) => button.addEventListener("click", () => {
    const before = button.getBoundingClientRect().top;
    choose(button.dataset.choose);
    // Sections above may have grown or shrunk; the button stays under the pointer.
    window.scrollBy({ top: button.getBoundingClientRect().top - before, behavior: "instant" });
  }));
  all("section").forEach((section) => {
    const first = section.querySelector("[data-choose]");
    if (first) choose(first.dataset.choose);
  });

  // Cards: a search among them, and a few at a time.
  const AT_ONCE = 12;
  all("[data-cards]").forEach((box) => {
    const cards = all(".unit", box);
    const search = box.querySelector("input[type=search]");
    const more = box.querySelector("[data-more]");
    let most = AT_ONCE;
    const show = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = cards.filter((card) => words.every((word) => card.dataset.text.toLowerCase().includes(word)));
      const shown = new Set(found.slice(0, most));
      cards.forEach((card) => { card.hidden = !shown.has(card); });
      more.hidden = shown.size === found.length;
      box.querySelector("[data-count]").textContent = `${shown.size} of ${found.length} shown`;
    };
    search.value = "";
    search.addEventListener("input", () => { most = AT_ONCE; show(); });
    more.addEventListener("click", () => { most += AT_ONCE; show(); });
    show();
  });

  // Paper shows what is folded away on the screen.
  const folded = [];
  window.addEventListener("beforeprint", () => {
    all("details:not([open]):not(.screen)").forEach((details) => {
      details.open = true;
      folded.push(details);
    });
  });
  window.addEventListener("afterprint", () => {
    folded.splice(0).forEach((details) => { details.open = false; });
  });

  if (!window.Plotly) return;
  const looks = read("looks");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const onPaper = window.matchMedia("print");
  const scale = () => (dark.matches && !onPaper.matches ? looks.dark : looks.light);

  const draw = (place) => {
    const figure = read("data-" + place.dataset.plot);
    // Lists of names that traces share stand in the figure once.
    figure.data.forEach((trace) => Object.keys(trace).forEach((key) => {
      if (trace[key] && trace[key].list !== undefined) trace[key] = figure.lists[trace[key].list].slice();
    }));
    if (figure.layout.coloraxis) figure.layout.coloraxis.colorscale = scale();
    // Only what works on this page alone: no button that would send the plot anywhere.
    const config = {
      responsive: true, displayModeBar: "hover", displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    };
    const redraw = () => {
      // The size drawn at becomes the box that paper scales.
      const { width, height } = place._fullLayout;
      all(".main-svg", place).forEach((svg) => svg.setAttribute("viewBox", `0 0 ${width} ${height}`));
      const container = place.querySelector(".svg-container");
      if (container) container.style.setProperty("--drawn-ratio", width / height);
    };
    Plotly.newPlot(place, figure.data, figure.layout, config).then(() => {
      redraw();
      place.on("plotly_afterplot", redraw);
    });
  };
  // A plot of a network that is not chosen has no width; it is drawn when it is.
  const drawSeen = () => all("[data-plot]").forEach((place) => {
    if (!place.layout && !place.closest("[hidden]")) draw(place);
  });
  drawSeen();
  document.addEventListener("chosen", drawSeen);

  // One attribute, one family or one layer at a time.
  const pickers = new Map();
  all("select[data-pick]").forEach((select) => {
    const id = select.dataset.pick;
    pickers.set(id, [...(pickers.get(id) || []), select]);
    // A browser may keep the choice of an earlier visit.
    select.selectedIndex = 0;
  });
  pickers.forEach((selects, id) => {
    const place = document.getElementById("plot-" + id);
    const picked = (meta, select) => {
      const of = select.dataset.by ? meta[select.dataset.by] : meta.pick !== undefined ? meta.pick : meta.attribute;
      return of === select.value || !Array.from(select.options).some((option) => option.value === of);
    };
    selects.forEach((select) => select.addEventListener("change", () => {
      const shown = place.data.map((trace) => selects.every((one) => picked(trace.meta, one)));
      Plotly.restyle(place, { visible: shown });
    }));
  });

  const recolour = () => all("[data-plot]").forEach((place) => {
    if (place.layout && place.layout.coloraxis) Plotly.relayout(place, { "coloraxis.colorscale": scale() });
  });
  dark.addEventListener("change", recolour);
  onPaper.addEventListener("change", recolour);

  // Lines: chips choose which attributes are highlighted.
  all("[data-chips]").forEach((box) => {
    const place = document.getElementById("plot-" + box.dataset.chips);
    const buttons = all("button[data-name]", box);
    const count = looks.colours.length;
    const slots = new Map();
    // Names are written into the plot's data as text that plotly shows as it is; meta keeps the plain name.
    buttons.forEach((button) => {
      if (button.dataset.slot !== undefined) slots.set(button.dataset.name, Number(button.dataset.slot));
    });
    const many = buttons.length > count;
    const paint = () => buttons.forEach((button) => {
      const slot = slots.get(button.dataset.name);
      button.setAttribute("aria-pressed", String(slot !== undefined));
      button.style.setProperty("--slot", slot === undefined ? "" : looks.colours[slot % count]);
    });
    const draw = () => {
      const change = { visible: [], mode: [], opacity: [], fillcolor: [], "line.color": [], "line.width": [], "marker.color": [], "marker.size": [], "marker.symbol": [], zorder: [] };
      const indices = [];
      place.data.forEach((trace, index) => {
        const { attribute, role } = trace.meta;
        if (role === "chance") return;
        const slot = slots.get(attribute);
        const on = slot !== undefined;
        const colour = on ? looks.colours[slot % count] : looks.grey;
        indices.push(index);
        change.visible.push(role === "line" || on);
        change.mode.push(role === "line" ? (on || looks.single.includes(box.dataset.chips) ? "lines+markers" : "lines") : trace.mode);
        change.opacity.push(on ? 1 : many ? 0.4 : 0.6);
        change.fillcolor.push(colour + "24");
        change["line.color"].push(colour);
        change["line.width"].push(role === "band" ? 0 : role === "control" ? 1.4 : on ? 2.4 : 1);
        change["marker.color"].push(colour);
        change["marker.size"].push(on ? 7 : 5);
        change["marker.symbol"].push(on ? looks.symbols[slot % count] : "circle");
        change.zorder.push(on ? 1 : 0);
      });
      Plotly.restyle(place, change, indices);
      paint();
    };
    const toggle = (name) => {
      if (slots.has(name)) {
        slots.delete(name);
      } else {
        const taken = new Set(slots.values());
        let slot = 0;
        while (taken.has(slot)) slot += 1;
        // With all colours in use, the one chosen first gives way.
        if (slot >= count) {
          const [oldest, its] = slots.entries().next().value;
          slots.delete(oldest);
          slot = its;
        }
        slots.set(name, slot);
      }
      draw();
    };
    buttons.forEach((button) => button.addEventListener("click", () => toggle(button.dataset.name)));
    box.querySelector("[data-clear]").addEventListener("click", () => { slots.clear(); draw(); });
    const search = box.querySelector("input");
    if (search) search.addEventListener("input", () => buttons.forEach((button) => {
      button.hidden = !button.dataset.name.toLowerCase().includes(search.value.trim().toLowerCase())
        && !slots.has(button.dataset.name);
    }));
    place.on("plotly_click", (event) => toggle(event.points[0].data.meta.attribute));
    paint();
  });

  // Heat maps: order of the rows, trained or random weights.
  all("[data-heat]").forEach((box) => {
    const place = document.getElementById("plot-" + box.dataset.heat);
    const press = (name, chosen) => all(`button[data-${name}]`, box).forEach((button) => {
      button.setAttribute("aria-pressed", String(button === chosen));
    });
    all("button[data-order]", box).forEach((button) => button.addEventListener("click", () => {
      press("order", button);
      Plotly.relayout(place, { "yaxis.categoryarray": place.data[0].meta.orders[button.dataset.order] });
    }));
    all("button[data-weights]", box).forEach((button) => button.addEventListener("click", () => {
      press("weights", button);
      const control = button.dataset.weights === "control";
      const shown = place.data.map((trace) => (trace.meta.role === "heat" ? trace.meta.control === control : !control));
      Plotly.restyle(place, { visible: shown });
    }));
  });
})();
