// A link with a key in its fragment signs in by itself. A fragment is sent to no server, and is taken out of the
// address before anything else, so that it stands in no history and no log.

const given = new URLSearchParams(location.hash.slice(1));
history.replaceState(null, "", location.pathname);

const form = document.querySelector("[data-sign-in]");
if (given.get("key") && form) {
  form.elements.key.value = given.get("key");
  form.elements.user.value = given.get("user") ?? form.elements.user.value;
  form.requestSubmit();
}
