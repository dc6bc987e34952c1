// Prometheus' answers as Grafana's data frames, with the dashboard's field settings applied by Grafana's own code.
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  createDataFrame,
  DataFrame,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  FieldConfigOptionsRegistry,
  FieldType,
  GrafanaTheme2,
  identityOverrideProcessor,
  standardTransformers,
  standardTransformersRegistry,
  thresholdsOverrideProcessor,
  transformDataFrame,
} from '@grafana/data';

export type Sample = [number, string];
export type Series = { metric: Record<string, string>; values?: Sample[]; value?: Sample };
export type Answers = Record<string, Series[]>;

// The settings that the dashboards use. Grafana's panels register them with editors, of which a picture has none.
const PLAIN = ['unit', 'decimals', 'min', 'max', 'color', 'mappings', 'noValue'];
const CUSTOM: Record<string, unknown> = {
  drawStyle: 'line',
  lineInterpolation: 'linear',
  lineWidth: 1,
  lineStyle: { fill: 'solid' },
  fillOpacity: 0,
  gradientMode: 'none',
  showPoints: 'auto',
  pointSize: 5,
  spanNulls: false,
  insertNulls: false,
  stacking: { mode: 'none', group: 'A' },
  barAlignment: 0,
  barWidthFactor: 0.6,
  axisPlacement: 'auto',
  axisColorMode: 'text',
  axisLabel: '',
  scaleDistribution: { type: 'linear' },
  hideFrom: { legend: false, tooltip: false, viz: false },
  thresholdsStyle: { mode: 'off' },
  cellOptions: { type: 'auto' },
  align: 'auto',
  inspect: false,
};

const settings = new FieldConfigOptionsRegistry();
const register = (id: string, path: string, process: any, isCustom = false) =>
  settings.register({ id, path, name: id, isCustom, process, shouldApply: () => true, settings: {}, editor: null, override: null } as any);
PLAIN.forEach((id) => register(id, id, identityOverrideProcessor));
register('displayName', 'displayName', displayNameOverrideProcessor);
register('thresholds', 'thresholds', thresholdsOverrideProcessor);
register('links', 'links', dataLinksOverrideProcessor);
Object.keys(CUSTOM).forEach((id) => register(`custom.${id}`, id, identityOverrideProcessor, true));

standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map(
    (each) => ({ id: each.id, name: each.name, description: '', transformation: async () => each, editor: null }) as any
  )
);

const asNumber = (text: string) => (text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : parseFloat(text));

const legend = (target: any, metric: Record<string, string>) => {
  if (target.legendFormat && target.legendFormat !== '__auto') {
    return target.legendFormat.replace(/{{\s*(\w+)\s*}}/g, (_: string, label: string) => metric[label] ?? '');
  }
  const labels = Object.entries(metric).filter(([label]) => label !== '__name__');
  return labels.length === 1 ? labels[0][1] : labels.map(([label, value]) => `${label}="${value}"`).join(', ') || target.refId;
};

function overTime(target: any, found: Series[], step: number): DataFrame[] {
  return found.map(({ metric, values, value }) => {
    const points = values ?? [value!];
    return createDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: points.map(([at]) => at * 1000), config: { interval: step * 1000 } },
        {
          name: 'Value',
          type: FieldType.number,
          labels: metric,
          values: points.map(([, text]) => asNumber(text)).map((each) => (Number.isNaN(each) ? null : each)),
          config: { displayNameFromDS: legend(target, metric) },
        },
      ],
    });
  });
}

function asTable(target: any, found: Series[], many: boolean): DataFrame {
  const labels = [...new Set(found.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return createDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: found.map(({ value }) => value![0] * 1000), config: {} },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: found.map(({ metric }) => metric[label] ?? ''),
        config: {},
      })),
      {
        name: many ? `Value #${target.refId}` : 'Value',
        type: FieldType.number,
        values: found.map(({ value }) => asNumber(value![1])),
        config: {},
      },
    ],
  });
}

export async function framesOf(panel: any, answers: Answers, steps: Record<string, number>, theme: GrafanaTheme2): Promise<DataFrame[]> {
  let frames: DataFrame[] = panel.targets.flatMap((target: any) =>
    target.format === 'table'
      ? [asTable(target, answers[target.refId], panel.targets.length > 1)]
      : overTime(target, answers[target.refId], steps[target.refId])
  );
  if (panel.transformations?.length) {
    frames = await new Promise((resolve, reject) =>
      transformDataFrame(panel.transformations, frames, { interpolate: (text: string) => text }).subscribe({ next: resolve, error: reject })
    );
  }
  const defaults = { ...panel.fieldConfig.defaults, custom: { ...CUSTOM, ...panel.fieldConfig.defaults.custom } };
  const settled = applyFieldOverrides({
    data: frames,
    fieldConfig: { defaults, overrides: panel.fieldConfig.overrides ?? [] },
    fieldConfigRegistry: settings,
    replaceVariables: (text: string) => text,
    theme,
    timeZone: 'utc',
  });
  cacheFieldDisplayNames(settled);
  return settled;
}
