/* A stand-in for libnvidia-ml.so.1: what the real binding meets on a machine with GPUs, as a file says it.
 *
 * $IMITATED_NVML names the file, which is read anew at every call:
 *     init RESULT                                   what nvmlInit returns; 0 is success
 *     generation N                                  another N than at nvmlInit: the driver was loaded again, every call is UNINITIALIZED
 *     stall MILLISECONDS                            every reading takes so long
 *     gpu UUID ENERGY_MJ ENERGY_RESULT POWER_MW POWER_RESULT MIG HANDLE_RESULT
 *     mig UUID PARENT_INDEX                         a MIG device of the GPU with that index
 * Results are NVML's own numbers (nvml.h, nvmlReturn_t). It says nothing about real hardware.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define API __attribute__((visibility("default")))
enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, DRIVER_NOT_LOADED = 9 };
enum { MOST = 16 };

typedef struct {
    char uuid[96];
    unsigned long long energy_mj;
    int energy_result, power_result, handle_result, parent;
    unsigned power_mw, mig;
} Device;

static Device gpus[MOST], migs[MOST];
static int gpu_count, mig_count, init_result, generation, met_generation, initialised;
static long stall_ms;

static void read_state(void) {
    const char *path = getenv("IMITATED_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256];
    gpu_count = mig_count = generation = 0;
    init_result = file ? SUCCESS : DRIVER_NOT_LOADED;
    stall_ms = 0;
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        Device d = {.parent = -1};
        if (sscanf(line, "init %d", &init_result) == 1) continue;
        if (sscanf(line, "generation %d", &generation) == 1) continue;
        if (sscanf(line, "stall %ld", &stall_ms) == 1) continue;
        if (gpu_count < MOST && sscanf(line, "gpu %95s %llu %d %u %d %u %d", d.uuid, &d.energy_mj, &d.energy_result, &d.power_mw,
                                       &d.power_result, &d.mig, &d.handle_result) == 7)
            gpus[gpu_count++] = d;
        else if (mig_count < MOST && sscanf(line, "mig %95s %d", d.uuid, &d.parent) == 2)
            migs[mig_count++] = d;
    }
    fclose(file);
}

static int ready(void) {
    read_state();
    return initialised && generation == met_generation;
}

static int is_gpu(Device *d) { return d >= gpus && d < gpus + gpu_count; }
static int is_mig(Device *d) { return d >= migs && d < migs + mig_count; }

static int put(char *to, unsigned length, const char *text) {
    if (strlen(text) + 1 > length) return TOO_SMALL;
    strcpy(to, text);
    return SUCCESS;
}

API int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    read_state();
    if (init_result == SUCCESS) {
        initialised++;
        met_generation = generation;
    }
    return init_result;
}
API int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

API int nvmlShutdown(void) {
    if (!initialised) return UNINITIALIZED;
    initialised--;
    return SUCCESS;
}

API const char *nvmlErrorString(int result) {
    static char text[32];
    snprintf(text, sizeof text, "imitated error %d", result);
    return text;
}

API int nvmlDeviceGetCount_v2(unsigned *count) {
    if (!ready()) return UNINITIALIZED;
    *count = (unsigned)gpu_count;
    return SUCCESS;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **found) {
    if (!ready()) return UNINITIALIZED;
    if ((int)index >= gpu_count) return INVALID;
    *found = &gpus[index];
    return gpus[index].handle_result;
}

API int nvmlDeviceGetHandleByUUID(const char *uuid, Device **found) {
    if (!ready()) return UNINITIALIZED;
    for (int i = 0; i < gpu_count; i++)
        if (!strcmp(gpus[i].uuid, uuid)) {
            *found = &gpus[i];
            return gpus[i].handle_result;
        }
    for (int i = 0; i < mig_count; i++)
        if (!strcmp(migs[i].uuid, uuid)) {
            *found = &migs[i];
            return SUCCESS;
        }
    return NOT_FOUND;
}

API int nvmlDeviceIsMigDeviceHandle(Device *d, unsigned *answer) {
    if (!ready()) return UNINITIALIZED;
    *answer = (unsigned)is_mig(d);
    return SUCCESS;
}

API int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *d, Device **parent) {
    if (!ready()) return UNINITIALIZED;
    if (!is_mig(d) || d->parent >= gpu_count) return INVALID;
    *parent = &gpus[d->parent];
    return SUCCESS;
}

API int nvmlDeviceGetUUID(Device *d, char *to, unsigned length) {
    if (!ready()) return UNINITIALIZED;
    return is_gpu(d) || is_mig(d) ? put(to, length, d->uuid) : INVALID;
}

API int nvmlDeviceGetName(Device *d, char *to, unsigned length) {
    if (!ready()) return UNINITIALIZED;
    return is_gpu(d) ? put(to, length, "Imitated GPU") : INVALID;
}

API int nvmlDeviceGetMigMode(Device *d, unsigned *current, unsigned *pending) {
    if (!ready()) return UNINITIALIZED;
    if (!is_gpu(d)) return INVALID;
    if (d->mig > 1) return NOT_SUPPORTED; /* before Ampere */
    *current = *pending = d->mig;
    return SUCCESS;
}

#ifndef WITHOUT_COUNTER
static void stall(void) {
    struct timespec pause = {stall_ms / 1000, stall_ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

API int nvmlDeviceGetTotalEnergyConsumption(Device *d, unsigned long long *energy_mj) {
    if (!ready()) return UNINITIALIZED;
    stall();
    if (is_mig(d)) return NOT_SUPPORTED;
    if (!is_gpu(d)) return INVALID;
    *energy_mj = d->energy_mj;
    return d->energy_result;
}
#endif

API int nvmlDeviceGetPowerUsage(Device *d, unsigned *power_mw) {
    if (!ready()) return UNINITIALIZED;
    if (is_mig(d)) return NOT_SUPPORTED;
    if (!is_gpu(d)) return INVALID;
    *power_mw = d->power_mw;
    return d->power_result;
}
