// Gradio watches every part of its configuration for changes, and looks through all events once for each component: on
// a page of this size that is a fifth of the time until somebody can type. Events never change, so they need no watching;
// what watches leaves lists of a kind of their own alone.
(() => {
  "use strict";
  class Events extends Array {}
  let config;
  Object.defineProperty(window, "gradio_config", {
    get: () => config,
    set: (given) => {
      config = given;
      if (Array.isArray(given?.dependencies)) Object.setPrototypeOf(given.dependencies, Events.prototype);
    },
    configurable: true,
  });
})();
