#include <string.h>

#include "model/config.h"

const pith_family *const *pith_families(void) {
  static const pith_family *const families[] = {&pith_family_bert, &pith_family_distilbert, &pith_family_roberta, &pith_family_xlm_roberta,
                                                &pith_family_llama, &pith_family_qwen2, &pith_family_qwen3, &pith_family_gpt2, &pith_family_gpt_neox, NULL};
  return families;
}

static const pith_family *family_of_architecture(const char *architecture) {
  for (const pith_family *const *family = pith_families(); *family; family++)
    for (const char *const *name = (*family)->architectures; *name; name++)
      if (strcmp(*name, architecture) == 0 || ((*family)->heads && pith_head_find(*family, architecture) >= 0)) return *family;
  return NULL;
}

static pith_status unknown_architecture(pith_ctx *ctx, const char *name, const char *what) {
  char list[512] = "";
  size_t used = 0;
  for (const pith_family *const *family = pith_families(); *family; family++) {
    for (const char *const *a = (*family)->architectures; *a; a++) {
      const size_t n = strlen(*a);
      if (used + n + 3 > sizeof list) break;
      if (used) {
        memcpy(list + used, ", ", 2);
        used += 2;
      }
      memcpy(list + used, *a, n + 1);
      used += n;
    }
  }
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: the architecture \"%.80s\" is not supported; supported are %s, and of the encoders …ForSequenceClassification, …ForTokenClassification and …ForMaskedLM",
                   what, name, list);
}

pith_status pith_config_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  memset(out, 0, sizeof *out);
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s should hold a JSON object", what);
  const char *architecture = pith_json_string(pith_json_first(pith_json_get(json, "architectures")));
  const char *model_type = pith_json_string(pith_json_get(json, "model_type"));
  const pith_family *family = architecture ? family_of_architecture(architecture) : NULL;
  if (!architecture && model_type)   /* older files name the type alone, and a family is named like its type */
    for (const pith_family *const *f = pith_families(); *f; f++)
      if (strcmp((*f)->name, model_type) == 0) family = *f;
  if (!family) {
    const char *name = architecture ? architecture : model_type;
    if (!name) return pith_fail(ctx, PITH_E_FORMAT, "%s names neither \"architectures\" nor \"model_type\"", what);
    return unknown_architecture(ctx, name, what);
  }
  out->family = family;
  out->pooling = PITH_POOL_MEAN;
  out->bos_id = -1;
  out->task = family->task;
  PITH_TRY(family->parse(ctx, json, what, out));
  if (architecture && family->heads) PITH_TRY(pith_head_parse(ctx, json, pith_head_find(family, architecture), what, out));
  return family->task == PITH_TASK_GENERATE ? pith_config_special_ids(ctx, json, what, out) : PITH_OK;
}
