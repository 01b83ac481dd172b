// Draws the charts and lets arms be picked in all of them at once. Without scripts and on paper, the pictures stand.
(function () {
  "use strict";
  var specs = JSON.parse(document.getElementById("charts").textContent);
  var views = [], hidden = [], legends = document.querySelectorAll(".legend");

  function tell(name, value) {
    views.forEach(function (view) { view.signal(name, value).runAsync(); });
  }
  function each(arm, act) {
    document.querySelectorAll("[data-arm]").forEach(function (one) {
      if (one.dataset.arm === arm) { act(one); }
    });
  }
  function toggle(arm) {
    var off = hidden.indexOf(arm) < 0;
    hidden = off ? hidden.concat([arm]) : hidden.filter(function (other) { return other !== arm; });
    each(arm, function (one) { one.setAttribute("aria-pressed", String(!off)); });
    tell("hidden", hidden);
  }
  legends.forEach(function (legend) {
    legend.querySelectorAll("[data-arm]").forEach(function (button) {
      button.addEventListener("click", function () { toggle(button.dataset.arm); });
      ["pointerenter", "focus"].forEach(function (event) {
        button.addEventListener(event, function () { tell("picked", button.dataset.arm); });
      });
      ["pointerleave", "blur"].forEach(function (event) {
        button.addEventListener(event, function () { tell("picked", ""); });
      });
    });
  });
  document.querySelectorAll("[data-chart]").forEach(function (place) {
    // ast: expressions are interpreted, so that the page's policy need not allow eval.
    var options = { mode: "vega-lite", actions: false, ast: true, renderer: "svg" };
    vegaEmbed(place, specs[place.dataset.chart], options).then(function (drawn) {
      views.push(drawn.view);
      place.closest("figure").classList.add("live");
      drawn.view.addEventListener("pointerover", function (event, item) {
        if (item && item.datum && item.datum.arm) { tell("picked", item.datum.arm); }
      });
      drawn.view.addEventListener("pointerout", function () { tell("picked", ""); });
    });
  });
})();
