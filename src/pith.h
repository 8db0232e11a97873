/* Pith's public C interface: verbs as resumable jobs.
 *
 * A job is started from a request, a JSON object whose "verb" says what to do, and is stepped until it is done. No step
 * takes much longer than its budget, so that a single-threaded caller stays responsive; between steps the caller may do
 * anything, also end the job (which cancels it). Everything a job reads or writes goes through the host table of its
 * context (base/base.h). The native command line, the Node.js one and the page all run these same verbs.
 *
 * An instance owns the models that were loaded into it. Instances share nothing; one instance belongs to one thread.
 *
 * Requests (keys in camelCase, unknown keys are PITH_E_ARGUMENT) and results:
 *
 *   {"verb":"version"}                 → {"version","commit","build":"native|wasm","kernels":"simd128","kernelsAvailable":[…]}
 *   {"verb":"load","path":P}           → {"model":1,"info":{…}}      P: a package's folder, a checkpoint's, or a GGUF file
 *        "kernels":"auto|scalar|simd128" forces a variant for this model. info: see `inspect`, plus "kernels", "threads".
 *        "threads": 1…64 or "auto", here and in `compress` and `eval`: for all work of the instance from now on; without it one. The bits
 *        are the same with any number. An instance keeps the number that it got first.
 *   {"verb":"unload","model":1}        → {}
 *   {"verb":"inspect","path":P}        → {"kind":"package|checkpoint","family","task":"embed|generate|classify|tag|fill","parameters","bytes",
 *        "config":{…},"tensors":[{"name","shape","encoding","bytes"}], package also "recipe","parent","quality","shards","omitted"}
 *   {"verb":"tokenize","model":1,"text":T,"specialTokens":true,"truncate":false}  → {"ids":[…],"tokens":n}
 *   {"verb":"detokenize","model":1,"ids":[…],"skipSpecialTokens":true}    → {"text"}
 *   {"verb":"embed","model":1,"texts":[…],"normalize":null}  → {"dims":[n,d],"tokens":[…]}; data: f32 (n, d)
 *        "normalize": as the checkpoint's modules say unless true or false is given.
 *   {"verb":"classify","model":1,"texts":[…],"topK":0}   → {"results":[[{"label","score"}…]…],"tokens":[…]}: a text's labels, best first; topK 0: all.
 *        A text may be a pair: {"text","pair"}
 *   {"verb":"tag","model":1,"texts":[…]}                 → "results":[[{"id","token","label","score"}…]…]: a text's tokens without special ones
 *   {"verb":"fill","model":1,"texts":[…],"topK":5}       → "results":[[[{"id","token","score"}…]…]…]: of a text's masked words the likeliest tokens
 *        A model of these tasks embeds too.
 *   {"verb":"generate","model":1,"prompt":T, "maxTokens":128,"temperature":0,"topK":0,"topP":1,"minP":0,
 *        "repetitionPenalty":1,"seed":0,"stop":[…]}
 *        temperature 0 is greedy, whatever the rest says; without one it is 1 where topK, topP or minP is given. seed: below 2^53
 *        → {"text","ids":[…],"promptTokens","finishReason":"stop|length|context|stopText","promptMs","decodeMs"};
 *        text arrives piece by piece through pith_job_take_text; "text" is their concatenation.
 *   {"verb":"compress","source":P,"output":Q,"recipe":"int8"|{…},"shardSize":4194304,"texts":[…],"force":false}
 *        → {"bytes","ratio","shards":n,"quality":{…}}      Q appears only when whole
 *   {"verb":"eval","source":P,"against":P2, one of "texts":[…] | "pairs":[{"a","b","score"}] | "classify":[{"text","pair"?,"label"}] | "perplexity":T,
 *        "topKOverlap":K,"perLayer":false,"speed":false}
 *        → as they apply {"texts":n,"cosineMean","cosineMin","spearmanX100","pearsonX100","spearmanX100Against",
 *           "perplexity","nllMean","bitsPerByte","klMean","perplexityAgainst","nllMeanAgainst","top1Agreement","tokens",
 *           "topKOverlap","tested","accuracy","macroF1","accuracyAgainst","macroF1Against","labelAgreement","absoluteErrorMean"}
 *           perLayer: "embedding":{"error","cosine"}, "layers":[{"layer","parent","error","cosine"}]: of the rows after each, relative squared error and
 *           mean cosine against the parent's; speed: "speed":{"threads", "shortText" and "longText", or "prompt" and "token":{"tokens" or "after","ms",
 *           "tokensPerSecond","msAgainst","tokensPerSecondAgainst","ratio"}}, alone where nothing else is asked for
 *   {"verb":"digest","model":1,"texts":[…]}   → {"digest":sha256 hex,…}: one hash over embeddings, or over logits and greedy
 *        ids, of fixed texts (or those given): equal on every engine for the same package
 */
#ifndef PITH_H
#define PITH_H

#include "base/base.h"

typedef struct pith_instance pith_instance;
typedef struct pith_job pith_job;

/* host is copied; allocator may be NULL (malloc). NULL when memory is out. */
pith_instance *pith_open(const pith_host *host, const pith_allocator *allocator);
/* Frees its models. End its jobs first. */
void pith_close(pith_instance *instance);
/* One sentence about the last failure in this instance; "" before any. Valid until the next call. */
const char *pith_message(const pith_instance *instance);

/* *out is NULL on failure. One job runs at a time per model. */
pith_status pith_job_start(pith_instance *instance, const char *request, size_t n_bytes, pith_job **out);
/* PITH_OK: done. PITH_PENDING: call again; pith_job_waiting tells whether the host's bytes are being waited for.
 * Anything else: failed, and every further step gives the same status. Works until about budget_ms have passed. */
pith_status pith_job_step(pith_job *job, double budget_ms);
bool pith_job_waiting(const pith_job *job);
/* Where it is: units done and in all (0 when unknown) of the named phase. Borrowed. */
typedef struct pith_progress {
  const char *phase;   /* "load", "hash", "quantize", "measure", "embed", "prompt", "generate", … */
  const char *unit;    /* "bytes", "tokens", "texts", … */
  double done, total;
} pith_progress;
pith_progress pith_job_progress(const pith_job *job);
/* Text produced since the last call; borrowed until the next step or take. */
const char *pith_job_take_text(pith_job *job, size_t *n_bytes);
/* After PITH_OK: the result's JSON (NUL-terminated) and its binary part (NULL if none). Borrowed until pith_job_end. */
const char *pith_job_result(const pith_job *job, size_t *n_bytes);
const void *pith_job_data(const pith_job *job, size_t *n_bytes);
/* Accepts NULL. A job that is not done is cancelled: nothing half-written stays. */
void pith_job_end(pith_job *job);

#endif
