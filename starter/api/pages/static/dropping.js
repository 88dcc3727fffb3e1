// A place for a file: dropped or chosen, shown as what it is, and uploaded at once. A request then names it by its
// media id, so that asking for the price again and again sends no picture again and again.

import { ask, Refused } from "./asking.js";

const KINDS = { image: "image", mask_image: "image", audio: "audio", scene: "text", story_context: "text" };
const MEGABYTE = 1_048_576;

/** One place. `changed()` is told whenever `mediaId` may be another; a form asks it, and hides it. */
export class DropPlace {
  #field;
  #zone;
  #input;
  #changed;
  #upload = null;
  #preview = null;

  constructor(field, changed) {
    this.#field = field;
    this.#zone = field.querySelector("[data-drop]");
    this.#input = field.querySelector("input[type=file]");
    this.#changed = changed;
    this.role = this.#zone.dataset.drop;
    this.bytesMax = Infinity;
    this.isBusy = false;
    this.mediaId = this.#zone.dataset.mediaId ?? null;
    if (this.mediaId) this.#show("The same as before", this.#zone.dataset.preview ?? null);
    this.#listen();
  }

  get isShown() {
    return !this.#field.hidden;
  }

  /** Whether the model takes such a file. */
  set isShown(shown) {
    this.#field.hidden = !shown;
  }

  set aside(text) {
    this.#field.querySelector("[data-aside]").textContent = text;
  }

  #listen() {
    this.#input.addEventListener("change", () => this.#take(this.#input.files[0]));
    for (const name of ["dragenter", "dragover"]) {
      this.#zone.addEventListener(name, (event) => {
        event.preventDefault();
        this.#zone.classList.add("over");
      });
    }
    for (const name of ["dragleave", "dragend"]) {
      this.#zone.addEventListener(name, () => this.#zone.classList.remove("over"));
    }
    this.#zone.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#zone.classList.remove("over");
      this.#take(event.dataTransfer.files[0]);
    });
  }

  async #take(file) {
    if (!file) return;
    this.#forget();
    const kind = KINDS[this.role];
    if (file.size > this.bytesMax) {
      const [is, allowed] = [file.size, this.bytesMax].map((bytes) => `${(bytes / MEGABYTE).toFixed(1)} MB`);
      this.#refuse(`${file.name} has ${is}; allowed: at most ${allowed}.`);
      return;
    }
    this.#preview = kind === "text" ? null : URL.createObjectURL(file);
    this.#show(file.name, this.#preview);
    const upload = new AbortController();
    this.#upload = upload;
    this.#busy(true);
    try {
      const { media_id } = await ask("POST", `/v1/uploads?role=${this.role}`, { body: file, signal: upload.signal });
      this.mediaId = media_id;
    } catch (error) {
      // Another file took its place.
      if (error.name === "AbortError") return;
      if (!(error instanceof Refused)) throw error;
      this.#forget();
      this.#refuse(error.sentences);
    } finally {
      if (this.#upload === upload || this.#upload === null) this.#busy(false);
    }
    this.#changed();
  }

  #busy(busy) {
    this.isBusy = busy;
    this.#zone.setAttribute("aria-busy", String(busy));
    const told = this.#zone.querySelector("[data-told]");
    if (told) told.hidden = !busy;
    this.#changed();
  }

  #forget() {
    this.#upload?.abort();
    this.#upload = null;
    this.mediaId = null;
    this.#refuse("");
    if (this.#preview) URL.revokeObjectURL(this.#preview);
    this.#preview = null;
    const given = this.#zone.querySelector("[data-given]");
    given.replaceChildren();
    given.hidden = true;
    this.#zone.querySelector("[data-asked]").hidden = false;
  }

  #refuse(sentence) {
    this.#field.querySelector("[data-wrong]").textContent = sentence;
    if (sentence) this.#input.setAttribute("aria-invalid", "true");
    else this.#input.removeAttribute("aria-invalid");
  }

  /** What is there in place of what is asked for: the picture or sound itself, its name, a way to take it out. */
  #show(name, preview) {
    const given = this.#zone.querySelector("[data-given]");
    given.replaceChildren(...[this.#shownAs(preview, name), paragraph(name), this.#uploading(), this.#remover(name)].filter(Boolean));
    given.hidden = false;
    this.#zone.querySelector("[data-asked]").hidden = true;
  }

  #shownAs(preview, name) {
    if (!preview) return null;
    const isSound = KINDS[this.role] === "audio";
    const element = document.createElement(isSound ? "audio" : "img");
    if (isSound) {
      element.controls = true;
      element.setAttribute("aria-label", name);
    } else {
      element.alt = `Preview of ${name}`;
    }
    element.src = preview;
    return element;
  }

  #uploading() {
    const told = paragraph("Uploading…");
    told.className = "soft";
    told.dataset.told = "";
    told.setAttribute("role", "status");
    told.hidden = true;
    return told;
  }

  #remover(name) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "button remove", textContent: "Take it out" });
    button.setAttribute("aria-label", `Take out ${name}`);
    button.addEventListener("click", () => {
      this.#forget();
      this.#input.value = "";
      this.#input.focus();
      this.#changed();
    });
    return button;
  }
}

function paragraph(text) {
  const element = document.createElement("p");
  element.textContent = text;
  return element;
}
