// Closed forms of theory/ (flow.one_hot_push, flow.flow, predict.critical_log_odds, predict.accuracy_law,
// predict.critical_fraction) for one mixture of known and unknown facts. Each line follows the Python; a test
// holds both equal.
const nameblind = (() => {
  const given = JSON.parse(document.getElementById("panel-constants").textContent);
  const { prior, values, u0, rate, heldOut } = given;
  const expit = (x) => 1 / (1 + Math.exp(-x));

  // Mean over answers y ~ prior of A_s - A_r at attention alpha and salience sigma, and its -d/d alpha.
  function push(alpha, sigma) {
    const w = values.map((v) => Math.exp((1 - alpha) * v));
    const boost = Math.exp(alpha * sigma);
    let mean = 0, curvature = 0;
    for (let y = 0; y < values.length; y++) {
      let rest = 0, first = 0, second = 0;
      for (let a = 0; a < values.length; a++) {
        if (a === y) continue;
        const d = values[y] - values[a]; // tau is the q-mean of d
        rest += w[a];
        first += w[a] * d;
        second += w[a] * (d - sigma) * (d - sigma);
      }
      const wrong = rest / (rest + w[y] * boost);
      const one = wrong * (sigma - first / rest);
      mean += prior[y] * one;
      curvature += prior[y] * Math.max(wrong * (second / rest) - one * one, 0);
    }
    return [mean, curvature];
  }

  function mixed(alpha, q, sigma) {
    const known = push(alpha, sigma), unknown = push(alpha, 0);
    return [(1 - q) * known[0] + q * unknown[0], (1 - q) * known[1] + q * unknown[1]];
  }

  const STAGES = [
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
  ];
  const ERROR = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];
  const dot = (row, stages) => row.reduce((sum, x, i) => sum + x * stages[i], 0);

  // du/dt = alpha (1 - alpha) G(u) from u0 for time rate * steps: Dormand-Prince with the step control of Python.
  function finalU(q, sigma, steps, tolerance = 1e-9) {
    let u = u0, left = rate * steps;
    const far = Math.max(...values.flatMap((v, y) => values.map((o, a) => (a === y ? 0 : Math.abs(v - o - sigma)))));
    const farUnknown = Math.max(...values.flatMap((v) => values.map((o) => Math.abs(v - o))));
    let pace = 0.1 / (1 + Math.max(far, farUnknown));
    for (let i = 0; i < 100000; i++) {
      const alpha = expit(u), rest = expit(-u);
      const [g, curvature] = mixed(alpha, q, sigma);
      if (left <= 0 || Math.abs(g) <= tolerance * (1 + Math.abs(u)) * curvature * alpha * rest) return u;
      const step = Math.min(pace, left);
      const stages = [alpha * rest * g];
      let next = u;
      for (const row of STAGES) {
        next = u + step * dot(row, stages);
        stages.push(expit(next) * expit(-next) * mixed(expit(next), q, sigma)[0]);
      }
      const scale = tolerance * (1 + Math.max(Math.abs(u), Math.abs(next)));
      const error = Math.abs(step * dot(ERROR, stages)) / scale;
      const good = error <= 1;
      if (good) { u = next; left -= step; }
      const ideal = step * Math.min(Math.max(0.9 * Math.max(error, 1e-10) ** -0.2, 0.2), 5);
      pace = good && step < pace ? Math.max(ideal, pace) : ideal;
    }
    throw new Error("flow: not finished");
  }

  // Held-out facts by critical log-odds u* = log(deficit / salience), with the share below each (T8').
  const top = Math.max(...values);
  const facts = [];
  for (let i = 0; i < heldOut.levels; i++) {
    const sigma = heldOut.low + ((heldOut.high - heldOut.low) * (i + 0.5)) / heldOut.levels;
    values.forEach((v, y) => facts.push([v < top ? Math.log(top - v) - Math.log(sigma) : -Infinity, prior[y]]));
  }
  facts.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  const total = facts.reduce((sum, fact) => sum + fact[1], 0);
  const below = [0];
  for (const fact of facts) below.push(below[below.length - 1] + fact[1]);

  function accuracy(u) {
    let low = 0, high = facts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (facts[middle][0] < u) low = middle + 1; else high = middle;
    }
    return below[low] / total;
  }

  function critical(sigma) {
    const known = push(expit(u0), sigma)[0], unknown = push(expit(u0), 0)[0];
    if (known > 0 && unknown < 0) return known / (known - unknown);
    return known > 0 ? 1 : unknown < 0 ? 0 : NaN;
  }

  function predict(q, sigma, steps) {
    const u = finalU(q, sigma, steps);
    return { u, attention: expit(u), accuracy: accuracy(u), before: accuracy(u0), critical: critical(sigma) };
  }
  return { predict, finalU, accuracy, critical, u0 };
})();
