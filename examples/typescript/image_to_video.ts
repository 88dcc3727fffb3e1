/**
 * A backend that is not Python asks for a video: through Temporal alone, with plain JSON.
 *
 *   TEMPORAL_ADDRESS=127.0.0.1:7233 npm start -- --order 42 --image med_… --prompt "a slow zoom"
 *
 * Progress goes to stderr, the result to stdout. It exits as `stillmotion` does: 0 done, 1 failed,
 * 2 refused as asked, 3 a service is not reachable, 4 refused by quota or price, 5 cancelled,
 * 6 parked: it goes on by itself, and the same command follows it again.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import {
  ApplicationFailure,
  CancelledFailure,
  Client,
  Connection,
  ServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  type WorkflowHandle,
} from "@temporalio/client";
import { loadClientConnectConfig } from "@temporalio/envconfig";

import type { Failure, FailureKind } from "./contracts/Failure.js";
import type { GenerationResult } from "./contracts/GenerationResult.js";
import type { ImageToVideoRequest } from "./contracts/ImageToVideo.js";
import type { ProgressFacts, Stage } from "./contracts/ProgressFacts.js";

type ImageToVideo = (request: ImageToVideoRequest) => Promise<GenerationResult>;
type Generation = WorkflowHandle<ImageToVideo>;

interface Order {
  /** The same for the same order, however often this runs: one id is one video, paid once. */
  readonly workflowId: string;
  readonly request: ImageToVideoRequest;
}

const LOOK_INTERVAL_MS = 500;
/** A query is answered by a worker; without one nobody ever answers. */
const ANSWER_MS = 5_000;
const PARKED: ReadonlySet<Stage> = new Set<Stage>(["timed_out", "unresolved"]);

/** What a product tells apart. Every other kind is a failure whose hint says what to do. */
const EXIT_CODES: Partial<Record<FailureKind, number>> = {
  invalid_request: 2,
  invalid_media: 2,
  key_reused: 2,
  provider_refused_key: 3,
  provider_credit_exhausted: 3,
  provider_unreachable: 3,
  quota_exceeded: 4,
  spend_limit_reached: 4,
  max_cost_exceeded: 4,
  no_plan: 4,
  price_above_quote: 4,
};
const FAILED = 1;
const USAGE = 2;
const NOT_REACHABLE = 3;
const CANCELLED = 5;
const NOT_FINISHED = 6;

/** Said in one sentence, and the end of this process. */
class Stopped extends Error {
  constructor(
    readonly exitCode: number,
    message: string,
  ) {
    super(message);
  }
}

async function main(): Promise<number> {
  const order = orderOf(process.argv.slice(2));
  const { connection, client } = await connected();
  try {
    const generation = await started(client, order);
    const parked = await follow(generation);
    return parked ? tellPark(parked) : await tellEnd(generation);
  } finally {
    await connection.close();
  }
}

function orderOf(words: string[]): Order {
  const { order, user, image, prompt, resolution } = optionsOf(words);
  if (!order || !image || !prompt) {
    throw new Stopped(USAGE, "--order, --image and --prompt are needed.");
  }
  return {
    workflowId: `video-studio-order-${order}`,
    request: {
      user_id: user,
      source: "video_studio",
      image: image.startsWith("https://") ? { url: image } : { media_id: image },
      prompt,
      resolution,
      max_cost_usd_micros: 600_000,
    },
  };
}

function optionsOf(words: string[]) {
  const options = {
    order: { type: "string" },
    user: { type: "string", default: "local" },
    image: { type: "string" },
    prompt: { type: "string" },
    resolution: { type: "string", default: "480p" },
  } as const;
  try {
    return parseArgs({ args: words, options }).values;
  } catch (error) {
    throw new Stopped(USAGE, messageOf(error));
  }
}

/** By TEMPORAL_ADDRESS and its sisters, or a temporal.toml, as Temporal's own tools. */
async function connected(): Promise<{ connection: Connection; client: Client }> {
  const { connectionOptions, namespace } = loadClientConnectConfig();
  try {
    const connection = await Connection.connect(connectionOptions);
    return { connection, client: new Client({ connection, namespace }) };
  } catch (error) {
    throw new Stopped(NOT_REACHABLE, `Temporal is not reachable: ${messageOf(error)}`);
  }
}

/** Start the order's video, or find it under way or made. */
async function started(client: Client, { workflowId, request }: Order): Promise<Generation> {
  try {
    return await client.workflow.start<ImageToVideo>("ImageToVideo", {
      taskQueue: "stillmotion",
      workflowId,
      args: [request],
      workflowIdConflictPolicy: "USE_EXISTING",
      // What was refused, such as by a quota, may be asked for again under its id.
      workflowIdReusePolicy: "ALLOW_DUPLICATE_FAILED_ONLY",
    });
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) {
      return client.workflow.getHandle<ImageToVideo>(workflowId);
    }
    throw error;
  }
}

/** Tell every change until the generation ends; returns what is known of it where it parks. */
async function follow(generation: Generation): Promise<ProgressFacts | undefined> {
  let told = "";
  for (;;) {
    // Temporal says whether it has ended, with every worker down.
    const { closeTime } = await generation.describe();
    if (closeTime !== undefined) {
      return undefined;
    }
    const facts = await progressOf(generation);
    const said = facts ? `${facts.stage}: ${facts.money}` : "no worker answers; it waits";
    if (said !== told) {
      console.error(said);
      told = said;
    }
    if (facts && PARKED.has(facts.stage)) {
      return facts;
    }
    await sleep(LOOK_INTERVAL_MS);
  }
}

/** The facts of the `progress` query; undefined where no worker answers. */
async function progressOf(generation: Generation): Promise<ProgressFacts | undefined> {
  try {
    return await generation.client.withDeadline(Date.now() + ANSWER_MS, () =>
      generation.query<ProgressFacts>("progress"),
    );
  } catch (error) {
    if (error instanceof ServiceError) {
      return undefined;
    }
    throw error;
  }
}

function tellPark({ failure }: ProgressFacts): number {
  if (failure) {
    tellFailure(failure);
  }
  return NOT_FINISHED;
}

/** Print the result, or why there is none. */
async function tellEnd(generation: Generation): Promise<number> {
  try {
    console.log(JSON.stringify(await generation.result(), null, 2));
    return 0;
  } catch (error) {
    if (error instanceof WorkflowFailedError) {
      return await tellWhy(generation, error);
    }
    throw error;
  }
}

async function tellWhy(generation: Generation, { cause, message }: WorkflowFailedError) {
  if (cause instanceof ApplicationFailure && cause.details?.length) {
    const failure = cause.details[0] as Failure;
    tellFailure(failure);
    return EXIT_CODES[failure.kind] ?? FAILED;
  }
  if (cause instanceof CancelledFailure) {
    const facts = await progressOf(generation);
    console.error(`cancelled: ${facts?.money ?? "what it cost is told once a worker runs."}`);
    return CANCELLED;
  }
  // Terminated by an operator, whom nobody asks for reasons.
  console.error(message);
  return FAILED;
}

function tellFailure({ kind, message, money, hint }: Failure): void {
  console.error(`${kind}: ${message} ${money ?? ""}`);
  console.error(hint);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = error instanceof Stopped ? error.exitCode : NOT_REACHABLE;
}
