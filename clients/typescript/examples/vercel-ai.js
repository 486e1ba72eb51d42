// A chat with the Vercel AI SDK (`npm install ai`) whose conversation outlives the process.

import { generateText } from "ai";

/**
 * Asks a model, with what was said before in this session.
 *
 * @param {object} options
 * @param {import("botwire").Memory} options.memory Of the user: `new Memory("user-42")`.
 * @param {string} options.session
 * @param {any} options.model For example `openai("gpt-5")`.
 * @param {string} options.text
 */
export async function chat({ memory, session, model, text }) {
  const history = memory.history(session);
  const items = await history.tail(40);
  const last = items.at(-1)?.seq ?? 0;
  // A window that begins with the answer of a tool would be refused: begin with what a user said.
  const window = items.map(({ value }) => value);
  const before = window.slice(window.findIndex(({ role }) => role === "user"));

  const question = { role: "user", content: text };
  const result = await generateText({ model, messages: [...before, question] });
  // If another request wrote to this session meanwhile, nothing is stored: a ConflictError.
  await history.extend([question, ...result.response.messages], { ifLast: last });
  return result.text;
}
