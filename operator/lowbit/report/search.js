"use strict";
(function () {
  const FIRST = 8;
  const box = document.getElementById("search");
  if (!box) return;
  const flips = document.getElementById("flips");
  const every = document.getElementById("every");
  const count = document.getElementById("found");
  const samples = Array.from(document.querySelectorAll("article.sample"));
  const texts = samples.map(function (sample) { return sample.textContent.toLowerCase(); });
  function show() {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    samples.forEach(function (sample, index) {
      const fits = words.every(function (word) { return texts[index].includes(word); })
        && (!flips.checked || sample.dataset.flipped === "1");
      found += fits ? 1 : 0;
      sample.hidden = !fits || (found > FIRST && !every.checked);
    });
    const shown = every.checked ? found : Math.min(found, FIRST);
    count.textContent = shown + " shown of " + found + " found";
  }
  document.getElementById("tools").hidden = false;
  box.addEventListener("input", show);
  flips.addEventListener("change", show);
  every.addEventListener("change", show);
  window.addEventListener("beforeprint", function () { every.checked = true; show(); });
  show();
})();
