"""Files of laboratory diffractometers as their programs write them, made small."""

import io
import zipfile
from pathlib import Path

XRDML = """<?xml version="1.0" encoding="UTF-8"?>
<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/{version}" status="Completed">
 <sample type="To be analyzed"><id>7</id><name>ceria</name></sample>
 <xrdMeasurement measurementType="Scan" status="Completed">
  <usedWavelength intended="K-Alpha">
   <kAlpha1 unit="Angstrom">1.5405980</kAlpha1><kAlpha2 unit="Angstrom">1.5444260</kAlpha2>
   <ratioKAlpha2KAlpha1>0.5000</ratioKAlpha2KAlpha1>
  </usedWavelength>
{scans} </xrdMeasurement>
</xrdMeasurements>
"""
SCAN = """  <scan appendNumber="0" mode="Continuous" scanAxis="{axis}" status="Completed">
   <header><startTimeStamp>2021-03-16T13:{minute:02d}:14+03:00</startTimeStamp>
    <endTimeStamp>2021-03-16T13:{minute:02d}:54+03:00</endTimeStamp></header>
{chamber}   <dataPoints>
    <positions axis="2Theta" unit="deg">{positions}</positions>
    <positions axis="Omega" unit="deg"><commonPosition>5.5</commonPosition></positions>
    {time}
    {extra}<{tag} unit="counts">{counts}</{tag}>
   </dataPoints>
  </scan>
"""
ENDS = "<startPosition>10.0</startPosition><endPosition>12.0</endPosition>"
TIME = '<commonCountingTime unit="seconds">2.0</commonCountingTime>'


def scan(
    counts: str = "4 9 16 25 36",
    *,
    positions: str = ENDS,
    tag: str = "counts",
    extra: str = "",
    time: str = TIME,
    axis: str = "Gonio",
    chamber: str = "",
    minute: int = 10,
) -> str:
    """One scan of an XRDML file, five points from 10 to 12 deg."""
    return SCAN.format(
        counts=counts, positions=positions, tag=tag, extra=extra, time=time, axis=axis, chamber=chamber, minute=minute
    )


def xrdml(*scans: str, version: str = "1.6") -> bytes:
    """An XRDML file of these scans (one plain scan if none)."""
    return XRDML.format(version=version, scans="".join(scans or (scan(),))).encode()


CONDITIONS = """<?xml version="1.0" encoding="utf-8"?>
<MeasurementConditions>
 <GeneralInformation><SampleName>ceria</SampleName></GeneralInformation>
 <HWConfigurations><XrayGenerator><WaveType>Ka</WaveType>
  <WavelengthKalpha1>1.540593</WavelengthKalpha1><WavelengthKalpha2>1.544414</WavelengthKalpha2>
 </XrayGenerator></HWConfigurations>
 <Axes><Axis Name="Omega" Unit="deg" Position="5.5" State="Fixed" />
  <Axis Name="Temp" Unit="C" Position="350" State="Fixed" /></Axes>
 <ScanInformation><AxisName>{axis}</AxisName><Mode>CONTINUOUS</Mode><Start>10.0</Start><Stop>12.0</Stop>
  <Step>0.5000</Step><Speed>{speed}</Speed><SpeedUnit>deg/min</SpeedUnit><PositionUnit>deg</PositionUnit>
  <IntensityUnit>{unit}</IntensityUnit><StartTime>2021-05-05T10:35:31Z</StartTime>
  <EndTime>2021-05-05T10:36:31Z</EndTime><DataCount>{points}</DataCount></ScanInformation>
</MeasurementConditions>
"""
PROFILE = "\ufeff10.0\t4\t1\r\n10.5\t9\t1\r\n11.0\t16\t1\r\n11.5\t25\t1\r\n12.0\t36\t1\r\n"


def conditions(*, axis: str = "TwoThetaTheta", speed: str = "15.0", unit: str = "counts", points: str = "5") -> str:
    """The conditions of a scan in a RASX file."""
    return CONDITIONS.format(axis=axis, speed=speed, unit=unit, points=points)


def archive(members: dict[str, str | bytes]) -> bytes:
    """A zip of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(zipfile.ZipInfo(name, (2021, 5, 5, 12, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def rasx(*profiles: str, about: str | None = None) -> bytes:
    """A RASX file of these profiles (one if none)."""
    members: dict[str, str | bytes] = {}
    for i, profile in enumerate(profiles or (PROFILE,)):
        members[f"Data{i}/Profile{i}.txt"] = profile
        members[f"Data{i}/MesurementConditions{i}.xml"] = conditions() if about is None else about
    return archive(members | {"root.xml": "<Root/>"})


RAS_HEADER = """*RAS_HEADER_START
*FILE_SAMPLE "ceria"
*HW_XG_WAVE_LENGTH_ALPHA1 "1.540593"
*HW_XG_WAVE_LENGTH_ALPHA2 "1.544414"
*MEAS_DATA_COUNT "5"
*MEAS_SCAN_AXIS_X "TwoThetaTheta"
*MEAS_SCAN_SPEED "15.0000"
*MEAS_SCAN_SPEED_UNIT "deg/min"
*MEAS_SCAN_START "10.0000"
*MEAS_SCAN_START_TIME "11/21/2017 08:32:31"
*MEAS_SCAN_STEP "0.5000"
*MEAS_SCAN_UNIT_X "deg"
*MEAS_SCAN_UNIT_Y "counts"
*RAS_HEADER_END
*RAS_INT_START
"""
RAS_ROWS = "10.0 4 1.0\n10.5 9 1.0\n11.0 16 1.0\n11.5 25 1.0\n12.0 36 1.0\n"


def ras(*rows: str, header: str = RAS_HEADER) -> bytes:
    """A RAS file of these sections of rows (one if none)."""
    sections = "".join(f"{header}{text}*RAS_INT_END\n" for text in rows or (RAS_ROWS,))
    return f"*RAS_DATA_START\n{sections}*RAS_DATA_END\n".encode()


def fill(folder: Path, name: str, data: bytes, count: int = 2) -> None:
    """The same file several times."""
    for i in range(count):
        (folder / f"{i}_{name}").write_bytes(data)
