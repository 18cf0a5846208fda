"use strict";

const main = document.getElementById("docs");
window.SwaggerUIBundle({
  url: main.dataset.spec,
  domNode: main,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  // The default sends the description to a validator on another host.
  validatorUrl: null,
});
