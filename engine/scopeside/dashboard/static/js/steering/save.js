// The running pipeline, with the parameters that hold now, as a file to keep.

import { question } from "../ask.js";
import { h } from "../dom.js";

export class Save {
  #model;
  #said = h("span.answer", { role: "status" });

  constructor(model) {
    this.#model = model;
    const title = "what holds now, as TOML; the file that runs is not touched";
    const onclick = () => this.#save();
    const button = h("button.save", { onclick, title }, "Save as pipeline file");
    this.element = h("div.row", {}, button, this.#said);
  }

  async #save() {
    this.#said.textContent = "";
    this.#said.classList.remove("problem");
    try {
      const text = await question("pipeline_file");
      const url = URL.createObjectURL(new Blob([text], { type: "application/toml" }));
      const link = h("a", { href: url, download: fileName(this.#model.forms.pipeline) });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      this.#said.textContent = `saved as ${link.download}, with your downloads`;
    } catch (error) {
      this.#said.classList.add("problem");
      this.#said.textContent = error.message;
    }
  }
}

function fileName(source) {
  const stem = (source ?? "pipeline").split("/").pop().replace(/\.toml$/, "");
  return `${stem.replaceAll(/[^A-Za-z0-9_-]/g, "_") || "pipeline"}_live.toml`;
}
