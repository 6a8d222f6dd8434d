// The status page: asks for status.json and shows it. Texts come from objects, certificates and
// peers; they become text nodes and nothing else, so that none of them is ever markup or a link.
'use strict';

const EVERY = 10000;  // milliseconds
const MOST_ROUTES = 100;  // of a host, until somebody wants all
const MOST_PROBLEMS = 8;  // likewise
const $ = (id) => document.getElementById(id);

let view = read_view();
let backwards = [];  // offsets of the pages before this one
let paused = false;
let seen = null;   // the last answer
let shown = '';    // what of it is on the page
let asked = 0;     // only the newest question counts
let last_answer = 0;
let all_problems = false;
const all_routes = new Set();

// The view is in the address, so that it can be kept and passed on.
function read_view() {
  const found = new URLSearchParams(location.hash.slice(1));
  return {text: found.get('q') || '', only: found.get('show') === 'problems',
    offset: Math.max(0, Math.floor(Number(found.get('offset')) || 0)),
    open: new Set(found.getAll('open'))};
}

function write_view() {
  const parts = new URLSearchParams();
  if (view.text) parts.set('q', view.text);
  if (view.only) parts.set('show', 'problems');
  if (view.offset) parts.set('offset', view.offset);
  for (const host of view.open) parts.append('open', host);
  const text = parts.toString();
  history.replaceState(null, '', text ? '#' + text : location.pathname);
}

// --- elements ------------------------------------------------------------------------------------

// What can't be seen, or turns the direction of what follows, is spelled out.
function visible(text) {
  return String(text).replace(
    /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

function el(tag, classes, ...children) {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === '') continue;
    made.append(child instanceof Node ? child : visible(child));
  }
  return made;
}

const mono = (text) => el('bdi', 'mono', text);
const word = (text, health) => el('span', 'word ' + health, text);

function many(count, one, more) {
  return count.toLocaleString('en') + ' ' + (count === 1 ? one : more || one + 's');
}

// --- time ----------------------------------------------------------------------------------------

const UNITS = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];

function span(seconds) {
  const size = Math.abs(seconds);
  const [unit, name] = UNITS.find(([unit]) => size >= 2 * unit) || UNITS[3];
  return Math.floor(size / unit) + ' ' + name;
}

function relative(time) {
  const left = time - now();
  return left < 0 ? span(left) + ' ago' : 'in ' + span(left);
}

function absolute(time) {
  const date = new Date(time * 1000);
  return isNaN(date) ? String(time) : date.toISOString().slice(0, 16).replace('T', ' ') + ' UTC';
}

// The proxy's clock, not the browser's.
function now() {
  return seen === null ? 0 : seen.time + (Date.now() - last_answer) / 1000;
}

function when(time, as_date) {
  if (!time) return '';
  const made = el('time', '', relative(time));
  made.dataset.time = time;
  made.title = absolute(time);
  return as_date ? [absolute(time).slice(0, 10), ' (', made, ')'] : made;
}

function tick() {
  for (const one of document.querySelectorAll('time[data-time]')) {
    one.textContent = relative(Number(one.dataset.time));
  }
  if (seen !== null) {
    $('age').textContent = (paused ? 'paused, ' : '') + 'as of ' +
      span((Date.now() - last_answer) / 1000) + ' ago';
  }
}

// --- what is wrong -------------------------------------------------------------------------------

function title_of(finding) {
  switch (finding.kind) {
    case 'closed': return 'Closed: answers ' + finding.status;
    case 'no_endpoints': return 'No endpoint: answers ' + finding.status;
    case 'backend': return finding.health === 'bad' ? 'No endpoint can be connected to' :
      'Some endpoints can\u2019t be connected to';
    case 'expired': return 'Out of date';
    case 'ends_soon': return 'Ends soon';
    case 'front_certificate': return 'Clients are shown the default certificate';
    case 'unverified': return 'The backend is not verified';
    case 'audited': return 'An audit lets through what will be refused';
    default: return finding.kind;
  }
}

function shown_name(name) {
  return name === '' ? 'any other host' : name;
}

function host_links(problem) {
  const parts = [];
  problem.hosts.forEach((name, index) => {
    if (index > 0) parts.push(', ');
    const link = el('button', 'link', shown_name(name));
    link.type = 'button';
    link.addEventListener('click', () => {
      show({text: name, only: false, offset: 0, open: new Set([name])});
      $('hosts-title').scrollIntoView();
    });
    parts.push(link);
  });
  const rest = problem.hosts_total - problem.hosts.length;
  if (rest > 0) parts.push(' and ' + many(rest, 'more host', 'more hosts'));
  return parts;
}

function problem_card(problem) {
  const routes = problem.routes ? many(problem.routes, 'route') + ' of ' : '';
  return el('li', 'card ' + problem.health,
    el('p', 'head', el('strong', '', title_of(problem)),
      problem.reason && word(problem.reason, problem.health), when(problem.time)),
    el('p', '', mono(problem.object), problem.detail && ': ', el('bdi', '', problem.detail)),
    el('p', 'where', routes, host_links(problem)));
}

function refused_card(refused, served) {
  const is_past = refused.number !== 0 && refused.number < served;
  const card = el('li', 'card ' + (is_past ? 'ok' : 'bad'),
    el('p', 'head', el('strong', '', 'Refused of ' +
      (refused.number ? 'generation ' + refused.number : 'the configuration file') +
      (is_past ? ', served since without it or corrected' : '')), when(refused.time)));
  for (const one of refused.rejected.slice(0, 10)) {
    card.append(el('p', '', word(one.reason, is_past ? 'ok' : 'bad'), ' ', mono(one.shard),
      one.field && [' ', mono(one.field)], one.detail && ': ', el('bdi', '', one.detail)));
  }
  const rest = refused.rejected_total - Math.min(10, refused.rejected.length);
  if (rest > 0) card.append(el('p', 'where', 'and ' + rest + ' more'));
  return card;
}

function more_problems(status, rest) {
  if (all_problems) return el('li', 'soft', many(rest, 'problem') + ' more');
  const button = el('button', '', many(rest, 'problem') + ' more');
  button.type = 'button';
  button.addEventListener('click', () => {
    all_problems = true;
    show_problems(status);
  });
  return el('li', '', button);
}

function show_problems(status) {
  const list = $('problems');
  const cards = status.problems.map(problem_card);
  const refused = status.generation.last_refused;
  if (refused) {
    const card = refused_card(refused, status.generation.number);
    if (card.className.includes('bad')) cards.unshift(card); else cards.push(card);
  }
  $('wrong').hidden = cards.length === 0;
  const told = all_problems ? cards.length : MOST_PROBLEMS;
  let rest = status.problems_total - status.problems.length;
  if (cards.length > told + 1) {
    rest += cards.length - told;
    cards.length = told;
  }
  if (rest > 0) cards.push(more_problems(status, rest));
  list.replaceChildren(...cards);
}

// --- hosts ---------------------------------------------------------------------------------------

function pairs(...entries) {
  const list = el('dl', 'pairs');
  for (const [name, value] of entries) {
    if (value === '' || value === null || value === undefined || value.length === 0) continue;
    list.append(el('dt', '', name), el('dd', '', value));
  }
  return list;
}

function certificate(one) {
  return pairs(['from', mono(one.source)], ['subject', mono(one.subject)],
    ['names', one.names.length ? mono(one.names.join(', ')) : ''], ['issuer', mono(one.issuer)],
    ['serial', mono(one.serial)], ['SHA-256', mono(one.sha256)], ['key', one.key_type],
    ['valid until', when(one.not_after, true)]);
}

function trust(one) {
  const lines = [];
  for (const ca of one.ca) {
    lines.push(['CA', [mono(ca.source), ' ', many(ca.count, 'certificate'),
      ca.count === 1 ? ', until ' : ', the first until ',
      when(ca.not_after, true)]]);
  }
  for (const crl of one.crl) {
    lines.push(['CRL', [mono(crl.source), crl.number && ' number ' + crl.number, ', ',
      many(crl.entries, 'entry', 'entries'), crl.next_update ? ', until ' : '',
      when(crl.next_update, true)]]);
  }
  return lines;
}

function handshake(last) {
  if (last === null) return el('span', 'soft', 'not tried yet');
  if (last.would_refuse) return word('ok, would be ' + last.would_refuse, 'warning');
  return word(last.result, last.result === 'ok' ? 'ok' : 'bad');
}

function endpoints(service, findings) {
  const table = el('table', '');
  for (const one of service.endpoints) {
    table.append(el('tr', '', el('td', '', mono(one.address),
      one.state !== 'ready' && el('span', 'soft', ' ' + one.state.replace('_', ' '))),
    el('td', '', handshake(one.handshake)),
    el('td', '', one.handshake ? when(one.handshake.time) : '')));
    // What stands above already isn't said again.
    if (one.handshake && one.handshake.detail &&
        !findings.some((finding) => finding.detail.includes(one.handshake.detail))) {
      const why = el('td', '', one.handshake.detail);
      why.colSpan = 3;
      table.append(el('tr', 'why', why));
    }
  }
  const rest = service.endpoints_total - service.endpoints.length;
  return el('div', 'endpoints', el('h3', '', 'Endpoints and their last handshake'),
    service.external_name && el('p', 'soft', 'by the name ', mono(service.external_name)),
    service.endpoints.length ? table : el('p', 'soft', 'none'),
    rest > 0 && el('p', 'soft', 'and ' + rest + ' more'));
}

const MODES = {verified: 'verified', unverified: 'not verified', audited: 'audited: let through'};

function upstream_tls(tls) {
  return [
    el('div', '', el('h3', '', 'We present'), tls.identity ? certificate(tls.identity) :
      el('p', 'soft', 'no certificate')),
    el('div', '', el('h3', '', 'We believe'), pairs(['backend', MODES[tls.mode] || tls.mode],
      ['named', tls.expects.length ? mono(tls.expects.join(', ')) : ''], ['SNI', tls.sni && mono(tls.sni)],
      ['pins', tls.pins ? String(tls.pins) : ''], ...trust(tls), ['policy', mono(tls.policy)]))];
}

function finding_line(finding) {
  return el('p', 'finding ' + finding.health, el('strong', '', title_of(finding)), ' ',
    finding.reason && word(finding.reason, finding.health), ' ', mono(finding.object),
    finding.detail && ': ', el('bdi', '', finding.detail), finding.time ? ' \u00b7 ' : '',
    when(finding.time));
}

function route_card(route, kind) {
  const owner = route.ingress ? 'Ingress ' + route.namespace + '/' + route.ingress :
    'ConfigMap in ' + route.namespace;
  return el('div', 'route',
    el('div', 'line', el('span', 'dot ' + route.health),
      kind === 'host' ? el('span', 'path', mono(route.path)) : el('span', 'path', 'all bytes'),
      kind === 'host' && el('span', 'soft', route.type),
      el('span', '', '\u2192 ', route.service ? mono(route.service.name) : 'nothing'),
      el('span', 'soft', kind === 'host' ? route.protocol : route.tls ? 'TLS' : 'TCP'),
      el('span', 'soft', el('bdi', '', owner)),
      route.auth_service && el('span', 'soft', 'asks ', mono(route.auth_service))),
    route.findings.map(finding_line),
    route.service && endpoints(route.service, route.findings),
    route.tls && el('div', 'columns', upstream_tls(route.tls)));
}

function fill(inside, host) {
  const parts = host.findings.map(finding_line);
  for (const one of host.certificates) parts.push(el('h3', '', 'Clients see'), certificate(one));
  if (host.clients) parts.push(el('h3', '', 'Clients must show a certificate of'),
    pairs(...trust(host.clients)));
  const shown = all_routes.has(host.host) ? host.routes : host.routes.slice(0, MOST_ROUTES);
  parts.push(...shown.map((route) => route_card(route, host.kind)));
  if (shown.length < host.routes.length) {
    const button = el('button', '', 'All ' + many(host.routes.length, 'route'));
    button.type = 'button';
    button.addEventListener('click', () => {
      all_routes.add(host.host);
      fill(inside, host);
    });
    parts.push(el('p', '', button));
  } else if (host.routes_total > shown.length) {
    parts.push(el('p', 'soft', many(host.routes_total - shown.length, 'route') + ' more'));
  }
  inside.replaceChildren(...parts);
}

function host_line(host) {
  const inside = el('div', 'inside');
  const ends = host.certificates.map((one) => one.not_after);
  const all = many(host.routes_total, 'route');
  const worst = host.routes_bad === 0 ? all :
    host.routes_bad < host.routes_total ? host.routes_bad + ' of ' + all + ' fail' :
    host.routes_total === 1 ? '1 route, fails' : 'all ' + all + ' fail';
  const line = el('details', 'host',
    el('summary', '', el('span', 'dot ' + host.health),
      el('bdi', 'name', shown_name(host.host)),
      host.kind !== 'host' && word(host.kind === 'tcp' ? 'TCP' : 'TLS passes through', ''),
      el('span', 'more', el('span', '', worst),
        ends.length ? el('span', '', 'certificate ends ', when(Math.min(...ends))) : '')),
    inside);
  line.open = view.open.has(host.host);
  if (line.open) fill(inside, host);
  line.addEventListener('toggle', () => {
    if (line.open) {
      fill(inside, host);
      view.open.add(host.host);
    } else {
      inside.replaceChildren();
      view.open.delete(host.host);
    }
    write_view();
  });
  return line;
}

function show_hosts(status) {
  const lines = status.hosts.map(host_line);
  if (lines.length === 0) {
    lines.push(el('p', 'none', status.totals.hosts === 0 ? 'This proxy serves no host.' :
      'No host is like that.'));
  }
  $('hosts').replaceChildren(...lines);
  $('pages').hidden = status.offset === 0 && status.next === null;
  $('range').textContent = (status.offset + 1).toLocaleString('en') + '\u2013' +
    (status.offset + status.hosts.length).toLocaleString('en') + ' of ' +
    status.matches.toLocaleString('en');
  $('back').disabled = status.offset === 0;
  $('next').disabled = status.next === null;
}

// --- the whole -----------------------------------------------------------------------------------

function fact(name, value, more) {
  return el('div', '', el('dt', '', name), el('dd', '', value, more && el('small', '', more)));
}

function show_facts(status) {
  const {totals, generation} = status;
  $('name').textContent = visible(status.name);
  document.title = 'Handfast ' + visible(status.name);
  $('facts').replaceChildren(
    fact('Generation', generation.number ? String(generation.number) : 'none',
      generation.served_since ? ['served ', when(generation.served_since)] : 'nothing is served'),
    fact('Hosts', totals.hosts.toLocaleString('en'), many(totals.routes, 'route')),
    fact('Services', totals.services.toLocaleString('en'),
      many(totals.tls_policies, 'TLS policy', 'TLS policies')),
    fact('Clients connected', status.connections.toLocaleString('en'),
      many(status.upstream_connections, 'connection') + ' to backends'),
    fact('Requests now', status.requests.toLocaleString('en'), many(status.workers, 'worker')),
    fact('Handfast', status.version, ['started ', when(status.started)]));
}

function show_verdict(status) {
  const bad = status.totals.bad;
  const warning = status.totals.warning;
  let health = bad ? 'bad' : warning ? 'warning' : 'ok';
  let text = bad ? many(bad, 'host') + (bad === 1 ? ' fails' : ' fail') :
    warning ? many(warning, 'host') + (warning === 1 ? ' needs' : ' need') + ' a look' :
    'All is well';
  if (status.draining) [health, text] = ['warning', 'Shutting down'];
  else if (!status.ready) [health, text] = ['bad', 'Not ready'];
  $('verdict').className = 'verdict ' + health;
  $('verdict').textContent = text;
}

// What hasn't changed stays as it is: somebody may be reading or marking it.
function show_status(status) {
  const lasting = JSON.stringify({...status, time: 0, connections: 0, requests: 0,
    upstream_connections: 0});
  seen = status;
  last_answer = Date.now();
  show_verdict(status);
  show_facts(status);
  if (lasting !== shown) {
    shown = lasting;
    show_problems(status);
    show_hosts(status);
  }
  tick();
}

function show_failure(text) {
  document.body.classList.toggle('stale', text !== '');
  $('offline').hidden = text === '';
  $('offline').textContent = text;
}

async function ask() {
  const number = ++asked;
  const query = new URLSearchParams({offset: view.offset});
  if (view.text) query.set('q', view.text);
  if (view.only) query.set('show', 'problems');
  try {
    const answer = await fetch('status.json?' + query);
    if (!answer.ok) throw new Error('it answers ' + answer.status);
    const status = await answer.json();
    if (number !== asked) return;
    show_failure('');
    if (status.hosts.length === 0 && view.offset > 0) {  // there are fewer by now
      view.offset = 0;
      backwards = [];
      write_view();
      ask();
      return;
    }
    show_status(status);
  } catch (error) {
    if (number === asked) show_failure('The proxy can\u2019t be asked: ' + visible(error.message));
  }
}

function show(next) {
  view = next;
  backwards = [];
  $('text').value = view.text;
  $('only').checked = view.only;
  write_view();
  ask();
}

let typing = 0;
$('text').addEventListener('input', () => {
  clearTimeout(typing);
  typing = setTimeout(() => show({...view, text: $('text').value, offset: 0}), 250);
});
$('only').addEventListener('change', () => show({...view, only: $('only').checked, offset: 0}));
$('filter').addEventListener('submit', (event) => event.preventDefault());
$('next').addEventListener('click', () => {
  if (seen === null || seen.next === null) return;
  backwards.push(view.offset);
  view.offset = seen.next;
  write_view();
  ask();
});
$('back').addEventListener('click', () => {
  view.offset = backwards.length ? backwards.pop() : 0;
  write_view();
  ask();
});
$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').textContent = paused ? 'Go on' : 'Pause';
  if (!paused) ask();
  tick();
});
window.addEventListener('hashchange', () => show(read_view()));
setInterval(tick, 1000);
setInterval(() => {
  if (!paused && !document.hidden) ask();
}, EVERY);
show(view);
