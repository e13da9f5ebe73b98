// Tables sort and filter, and the timeline tells its numbers. Without this the page shows all the same.
'use strict';

// Rows that a long table shows until it is asked for all.
const FEW = 15;

const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

function enhance(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const place = new Map(rows.map((row, index) => [row, index]));
  let order = rows;
  let all = false;

  const name = document.getElementById(`${table.id}-name`).textContent;
  const filter = make('input', { type: 'search', placeholder: 'Filter', ariaLabel: `Filter: ${name}` });
  const told = make('output', {});
  const more = make('button', { type: 'button' });

  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    let shown = 0;
    for (const row of order) {
      const fits = words.every((word) => texts[place.get(row)].includes(word));
      found += fits;
      row.hidden = !fits || (!all && found > FEW);
      shown += !row.hidden;
    }
    const of = words.length ? `${found} of ${rows.length} rows fit` : `${rows.length} rows`;
    told.value = shown < found ? `${of}, ${shown} shown` : of;
    more.hidden = !all && found <= FEW;
    more.textContent = all ? `Show ${FEW}` : `Show all ${found}`;
  }

  function value(row, column) {
    const cell = row.cells[column];
    return cell.dataset.v ?? cell.textContent;
  }

  function sort(column, direction) {
    const sign = direction === 'ascending' ? 1 : -1;
    const numbers = rows.every((row) => !Number.isNaN(Number(value(row, column))));
    const read = numbers ? Number : String;
    const key = new Map(rows.map((row) => [row, read(value(row, column))]));
    order = [...rows].sort((one, two) => {
      const [a, b] = [key.get(one), key.get(two)];
      return (a < b ? -sign : a > b ? sign : 0) || place.get(one) - place.get(two);
    });
    body.append(...order);
    heads.forEach((head) => head.removeAttribute('aria-sort'));
    heads[column].setAttribute('aria-sort', direction);
    show();
  }

  if (rows.length > 1) {
    heads.forEach((head, column) => {
      const button = make('button', { type: 'button' });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const now = head.getAttribute('aria-sort');
        const first = head.classList.contains('n') ? 'descending' : 'ascending';
        const other = first === 'ascending' ? 'descending' : 'ascending';
        sort(column, now === first ? other : first);
      });
    });
  }
  if (rows.length > 8) {
    const tools = make('div', { className: 'tools' });
    tools.append(filter, told, more);
    document.getElementById(`${table.id}-head`).append(tools);
    filter.addEventListener('input', show);
    more.addEventListener('click', () => {
      all = !all;
      show();
    });
    show();
  }
  return (text) => {
    filter.value = text;
    all = false;
    show();
    filter.focus({ preventScroll: true });
  };
}

const find = new Map();
for (const table of document.querySelectorAll('table')) find.set(table.id, enhance(table));

document.addEventListener('click', (event) => {
  const link = event.target.closest('[data-find]');
  const flows = link && find.get('flows');
  if (!flows) return;
  event.preventDefault();
  flows(link.dataset.find);
  document.getElementById('flow-list').scrollIntoView();
});

function tell(timeline) {
  const steps = [...document.getElementById(timeline.dataset.steps).tBodies[0].rows];
  const names = [...document.getElementById(timeline.dataset.steps).tHead.rows[0].cells];
  // The table may be sorted later: what the timeline tells are its rows in the order of time.
  const lines = steps.map((row) => [...row.cells].map((cell, column) => {
    if (column === 0) return cell.textContent;
    return cell.textContent && `${names[column].textContent} ${cell.textContent}`;
  }).filter(Boolean).join(' · '));
  const readout = make('output', { className: 'readout' });
  const idle = 'Point at the timeline, or move through it with the arrow keys, to read its numbers.';
  readout.value = idle;
  timeline.before(readout);
  timeline.tabIndex = 0;
  timeline.setAttribute('role', 'group');
  timeline.setAttribute('aria-label', 'Timeline; arrow keys move through it');
  const cursors = [...timeline.querySelectorAll('figure > svg')].map((svg) => {
    const cursor = document.createElementNS(svg.namespaceURI, 'rect');
    for (const [name, value] of [['class', 'cursor'], ['width', 10], ['height', 100], ['x', -10]]) {
      cursor.setAttribute(name, value);
    }
    svg.append(cursor);
    return cursor;
  });
  let at = -1;
  function move(to) {
    at = to;
    readout.value = lines[at] ?? idle;
    for (const cursor of cursors) cursor.setAttribute('x', at * 10);
  }
  function point(event) {
    const box = timeline.getBoundingClientRect();
    const step = Math.floor((event.clientX - box.left) / box.width * lines.length);
    move(Math.min(Math.max(step, 0), lines.length - 1));
  }
  timeline.addEventListener('pointermove', point);
  timeline.addEventListener('pointerdown', point);
  timeline.addEventListener('pointerleave', () => move(-1));
  timeline.addEventListener('keydown', (event) => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: lines.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    move(Math.min(Math.max(to, 0), lines.length - 1));
  });
}

for (const timeline of document.querySelectorAll('.timeline')) tell(timeline);
