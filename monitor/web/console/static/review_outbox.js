// Answers on their way: sent one after the other, kept over a reload, tried again until the monitor has said yes or no.

import { change } from "./api.js";

const PAUSES_MILLISECONDS = [1000, 2000, 4000, 8000, 15_000]; // between tries, the last again and again
const NOT_NOW = new Set([408, 429]); // and all from 500 on

export class Outbox {
  #key;
  #waiting;
  #events;
  #isSending = false;
  #tries = 0; // of the first that waits, without an answer from the monitor
  #wake = () => {};
  #watching = [];

  // `events` are told what became of each: delivered(reply), refused(answer, error), locked(error), changed().
  constructor(annotator, events) {
    this.#key = `rlhf-monitor-answers ${annotator}`;
    this.#waiting = JSON.parse(sessionStorage.getItem(this.#key) ?? "[]");
    this.#events = events;
    addEventListener("online", () => this.#wake());
    this.#send();
  }

  get size() {
    return this.#waiting.length;
  }

  get isFailing() {
    return this.#tries > 0;
  }

  get itemIds() {
    return this.#waiting.map((answer) => answer.item_id);
  }

  add(answer) {
    this.#waiting.push(answer);
    this.#changed();
    this.#send();
  }

  // Take the last answer out if it was never sent; say whether it was.
  takeBack(itemId) {
    if (this.size < 2 || this.#waiting.at(-1).item_id !== itemId) return false;
    this.#waiting.pop();
    this.#changed();
    return true;
  }

  // Resolve with true once nothing waits, with false where the monitor does not answer.
  async flushed() {
    while (this.size && !this.isFailing) await new Promise((resolve) => this.#watching.push(resolve));
    return this.size === 0;
  }

  async #send() {
    if (this.#isSending) return;
    this.#isSending = true;
    while (this.size) {
      const failure = await this.#sendFirst();
      if (failure?.status === 401) await this.#events.locked(failure);
      else if (failure) await this.#pause();
    }
    this.#isSending = false;
  }

  // Return why the first could not be brought to the monitor; what it refuses has been brought.
  async #sendFirst() {
    const [answer] = this.#waiting;
    let told;
    try {
      const reply = await change("/api/v1/review/answers", answer);
      told = () => this.#events.delivered(reply);
    } catch (error) {
      const isRefusal = error.status >= 400 && error.status < 500 && error.status !== 401 && !NOT_NOW.has(error.status);
      if (!isRefusal) return error;
      told = () => this.#events.refused(answer, error);
    }
    this.#waiting.shift();
    this.#tries = 0;
    told();
    this.#changed();
    return null;
  }

  async #pause() {
    const pause = PAUSES_MILLISECONDS[Math.min(this.#tries, PAUSES_MILLISECONDS.length - 1)];
    this.#tries += 1;
    this.#changed();
    await new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, pause);
    });
  }

  #changed() {
    sessionStorage.setItem(this.#key, JSON.stringify(this.#waiting));
    this.#events.changed(this);
    for (const resolve of this.#watching.splice(0)) resolve();
  }
}
