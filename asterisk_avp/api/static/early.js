// Small, so that it is there before the page's script: it keeps a sign-in that was sent meanwhile.

document.addEventListener("submit", (event) => {
  event.preventDefault();
  document.documentElement.dataset.early = event.target.dataset.do;
});
for (const button of document.querySelectorAll("main.signin button")) button.disabled = false;
